"""The way out of one connection."""

from __future__ import annotations

import asyncio


class Outlet:
    """Writes pictures piece by piece, and answers only between pictures.

    A piece may end in the middle of an RTP packet, so an answer that became ready meanwhile waits until
    the picture is whole. While the outlet is held nothing leaves at all; what was begun is kept.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_within_picture = False
        self._waiting = bytearray()
        self._held: bytearray | None = None

    @property
    def is_closed(self) -> bool:
        return self.transport.is_closing()

    @property
    def backlog_bytes(self) -> int:
        """What the reader has not taken yet, beyond what the kernel holds for it."""
        return self.transport.get_write_buffer_size()

    def write_between_pictures(self, data: bytes) -> None:
        if self.is_within_picture:
            self._waiting += data
        else:
            self._write(data)

    def write_piece(self, piece: memoryview, *, is_last: bool) -> None:
        self._write(piece)
        self.is_within_picture = not is_last
        if is_last and self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self._write(waiting)

    def hold(self) -> None:
        if self._held is None:
            self._held = bytearray()

    def release(self) -> None:
        held, self._held = self._held, None
        if held:
            self._write(held)

    def abort(self) -> None:
        self.transport.abort()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._held is not None:
            self._held += data
        elif not self.transport.is_closing():
            self.transport.write(data)
