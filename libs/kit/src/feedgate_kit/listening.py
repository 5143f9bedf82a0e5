"""Sockets a server accepts connections on, bound before anything else starts."""

import errno
import socket
from dataclasses import dataclass
from typing import Final

from feedgate_kit.errors import OperatorError

BACKLOG: Final = 2048


class ListenError(OperatorError):
    """A server cannot listen where its settings say; names the setting."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and which settings say so."""

    host: str
    port: int  # 0: any free one
    host_setting: str = "host"
    port_setting: str = "port"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens in fact."""

    host: str
    port: int

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def websocket_origin(self) -> str:
        return "ws" + self.origin.removeprefix("http")


def open_listener(listen: Listen) -> socket.socket:
    """A bound socket that already listens.

    Args:
        listen: where.

    Raises:
        ListenError: the port is taken, or the host is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(
            f"{listen.host_setting}: `{listen.host}` is no address of this machine ({error.strerror});"
            " allowed: one of its own"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(_cause(error, listen)) from error
    return listener


def address_of(listener: socket.socket) -> Address:
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def _cause(error: OSError, listen: Listen) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{listen.port_setting}: port {listen.port} of {listen.host} is taken by another process;"
            " allowed: another, or 0 for any free one"
        )
    if error.errno == errno.EACCES:
        return f"{listen.port_setting}: port {listen.port} needs privileges; allowed: from 1024 on"
    return (
        f"{listen.host_setting}: cannot listen on `{listen.host}` ({error.strerror});"
        " allowed: an address of this machine"
    )
