"""One WebSocket of a viewer, with as little between it and the socket as Python allows."""

import asyncio
import base64
import fcntl
import secrets
import ssl
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, cast
from urllib.parse import urlsplit

from bench.figures import BenchError
from bench.viewers.frames import CLOSE, PING, Frame, FrameReader, pong

RECEIVE_BYTES: Final = 256 * 1024
_RECEIVED: Final = bytearray(RECEIVE_BYTES)
_VIEW: Final = memoryview(_RECEIVED)
"""Shared by all connections: the loop fills it and hands it over before it looks at the next socket."""

READ_AHEAD_BYTES: Final = 4096
CONNECT_TIMEOUT_S: Final = 20.0
PROTOCOL: Final = "feedgate.v1"
_INT: Final = struct.Struct("i")
_SWITCHED: Final = b"HTTP/1.1 101 "

OnFrame = Callable[[Frame, int], None]


@dataclass(frozen=True, slots=True)
class Door:
    """Where viewers come in."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, origin: str, ca_file: str | None = None) -> Self:
        """At an origin, whose certificate `ca_file` vouches for if it is `https`."""
        at = urlsplit(origin)
        tls = ssl.create_default_context(cafile=ca_file) if at.scheme == "https" else None
        return cls(at.hostname or "", at.port or 443, tls)


def upgrade_request(door: Door, path: str, credential: str) -> bytes:
    """The opening handshake of RFC 6455 §4.1, with the credential where the relay wants it."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {door.host}:{door.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {PROTOCOL}, {credential}\r\n\r\n"
    ).encode()


class Connection(asyncio.BufferedProtocol):
    """Shakes hands, then tells of every frame with the monotonic nanosecond at which its last byte was read."""

    def __init__(
        self, request: bytes, *, keep: int, on_frame: OnFrame, pause_at_upgrade: bool = False
    ) -> None:
        self.upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.frames = FrameReader(keep)
        self.last_binary_ns = 0
        """When the last byte of any binary message was read, whole or not."""
        self.close_reason = ""
        """What the server's close frame said (RFC 6455 §5.5.1)."""
        self._binary_bytes = 0
        self._request = request
        self._on_frame = on_frame
        self._pause_at_upgrade = pause_at_upgrade
        self._answer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return _VIEW

    def buffer_updated(self, nbytes: int) -> None:
        now_ns = time.monotonic_ns()
        data = _VIEW[:nbytes]
        if not self.upgraded.done():
            self._answer += data
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            data = memoryview(bytes(self._answer[end + 4 :]))
            self._upgrade()
        for frame in self.frames.feed(data):
            if frame.opcode == CLOSE:
                self.close_reason = frame.start[2:].decode(errors="replace")
                self._transport.close()
            elif frame.opcode == PING:
                self._transport.write(pong(frame))
            else:
                self._on_frame(frame, now_ns)
        if self.frames.binary_bytes != self._binary_bytes:
            self._binary_bytes = self.frames.binary_bytes
            self.last_binary_ns = now_ns

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.upgraded.done():
            self.upgraded.set_exception(BenchError(f"a viewer was not let in: {exc or 'hung up'}"))
        self.closed.set()

    def resume(self) -> None:
        """Read what still comes."""
        if not self.closed.is_set():
            self._transport.resume_reading()

    def bytes_here(self) -> int:
        """What has come: what was read after the handshake, and what waits in this machine's kernel.

        Over TLS what waits counts with its wrapping.
        """
        connected = self._transport.get_extra_info("socket")
        if connected is None or connected.fileno() < 0:  # it has ended
            return self.frames.fed_bytes
        waits = fcntl.ioctl(connected.fileno(), termios.FIONREAD, bytes(_INT.size))
        return self.frames.fed_bytes + int(_INT.unpack(waits)[0])

    def close(self) -> None:
        self._transport.close()

    def _upgrade(self) -> None:
        if not self._answer.startswith(_SWITCHED):
            status = bytes(self._answer[:40]).decode("latin-1")
            self.upgraded.set_exception(BenchError(f"a viewer was not let in: {status}"))
            self._transport.close()
            return
        if self._pause_at_upgrade:
            if self._transport.get_extra_info("ssl_object") is not None:
                # What TLS reads ahead of a reader that stands still would count as drained.
                self._transport.set_read_buffer_limits(high=READ_AHEAD_BYTES)  # type: ignore[attr-defined]  # of TLS alone
            self._transport.pause_reading()
        self.upgraded.set_result(None)


async def connect(door: Door, connection: Connection) -> None:
    """Return when the server has taken the handshake.

    Raises:
        BenchError: it has not.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: connection, door.host, door.port, ssl=door.tls
            )
            try:
                await connection.upgraded
            except BaseException:
                transport.close()
                raise
    except TimeoutError:
        raise BenchError(f"a viewer was not let in within {CONNECT_TIMEOUT_S:g} s") from None
