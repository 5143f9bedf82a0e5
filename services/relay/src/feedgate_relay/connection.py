"""The relay's hand on a viewer's connection: uvicorn's WebSocket protocol, with its transport in reach.

ASGI has no way to see whether a socket takes bytes, nor to cut it off. Given to
uvicorn as `ws=`, this class leaves the handshake and incoming messages to it
and lets the application write finished frames straight to the transport.
"""

import asyncio
import ctypes
import fcntl
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

EXTENSION: Final = "feedgate.relay.connection"
"""Key of `scope["extensions"]` under which the application finds the connection."""

MAXIMUM_MESSAGE_BYTES: Final = 16 * 1024
"""The longest message a viewer has reason to send is one with a ticket."""

SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel may hold of one viewer: well below a second of video. By default it held 13 s."""

_SIOCOUTQNSD: Final = 0x894B
"""Asks Linux how many bytes a TCP socket holds that it has not sent (linux/sockios.h)."""
_INT: Final = struct.Struct("i")

_DISCARD_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 s
_NO_ADDRESS: Final = bytes(16)  # struct sockaddr of family AF_UNSPEC
_libc: Final = ctypes.CDLL(None)


def _dissolve(connected: socket.socket) -> None:
    """Let go of a connection at once, with all that it has not sent, instead of when the loop comes round to it.

    connect(2): a TCP socket that connects to AF_UNSPEC dissolves its association. A failure is not looked
    at: the transport's `abort` follows, and does the same in the loop's next turn.
    """
    _libc.connect(connected.fileno(), _NO_ADDRESS, len(_NO_ADDRESS))


def _nothing() -> None:
    return


class RelayWebSocketProtocol(WebSocketsSansIOProtocol):
    """A `ports.Connection`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Without extensions: compressing coded video costs a window per viewer and gains nothing.
        self.conn = ServerProtocol(extensions=None, max_size=MAXIMUM_MESSAGE_BYTES, logger=self.logger)
        self.can_write = False
        self.lost = False
        self.on_writable: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing
        self._begun = False
        self._ending = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Every byte the kernel does not take pauses: nothing piles up on this side.
        self.transport.set_write_buffer_limits(high=0)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            # Linux doubles what it is told, for its own bookkeeping (socket(7)).
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES // 2)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run_asgi(self) -> None:
        cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self
        await super().run_asgi()

    def begin(self) -> None:
        """To be called after the handshake was accepted: from now on frames may be written."""
        self._begun = True
        self._settle()

    def write(self, frame: bytes) -> None:
        if self._begun and not self._ending:
            self.transport.write(frame)

    def has_unsent(self) -> bool:
        if self._paused:
            return True
        connected = self.transport.get_extra_info("socket")
        if connected is None or self.disconnected or sys.platform != "linux":
            return False  # elsewhere there is no asking
        answer = fcntl.ioctl(connected.fileno(), _SIOCOUTQNSD, bytes(_INT.size))
        unsent: int = _INT.unpack(answer)[0]
        return unsent > 0

    def end(self, code: int, reason: str, within_s: float) -> None:
        if self._ending or self.disconnected:
            if within_s <= 0:
                self.discard()
            return
        self._ending = True
        self._settle()
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if within_s <= 0:
            self.close_sent = True
            self.discard()
            return
        if self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()  # for the viewer's close frame
        self.close_timer = self.loop.call_later(within_s, self.discard)

    def discard(self) -> None:
        """Cut the connection off, and with it what the kernel has not sent yet."""
        if self.disconnected:
            return
        connected = self.transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD_ON_CLOSE)
            _dissolve(connected)
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused = True
        self.can_write = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused = False
        self._settle()
        if self.can_write:
            self.on_writable()

    def handle_close(self, event: Frame) -> None:
        self._ending = True
        self._settle()
        if self._paused:
            # Who says goodbye without having read must not be sent the rest when the view is over.
            self.discard()
            return
        super().handle_close(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        self._settle()
        super().connection_lost(exc)
        self.lost = True
        self.on_lost()

    def _settle(self) -> None:
        self.can_write = self._begun and not self._ending and not self._paused
