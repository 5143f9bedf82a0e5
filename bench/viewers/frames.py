"""WebSocket frames of a server as a lean viewer reads them: heads looked at, pictures skipped.

RFC 6455 §5.2. What a relay sends is final, unmasked and not compressed.
"""

import struct
from dataclasses import dataclass
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9

_PONG: Final = 0x8A
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_UINT16: Final = struct.Struct(">H")
_UINT64: Final = struct.Struct(">Q")


class FrameError(Exception):
    """Bytes no relay sends."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame all of whose bytes have come."""

    opcode: int
    start: bytes
    """The first bytes of the payload, as many as are kept."""
    size: int
    """Of the whole payload."""
    end: int
    """Bytes that had come when it was whole, its own and those before it."""


def pong(ping: Frame) -> bytes:
    """A client's answer, which must be masked (RFC 6455 §5.3); with zeros it stays readable."""
    return bytes((_PONG, _MASKED | len(ping.start), 0, 0, 0, 0)) + ping.start


class FrameReader:
    """Takes bytes as they come, in whatever pieces.

    Args:
        keep: how many bytes of each payload to keep; the rest is counted and skipped.
    """

    def __init__(self, keep: int) -> None:
        self.binary_bytes = 0
        """Payload of binary messages, also of the one under way."""
        self.fed_bytes = 0
        """All that was fed."""
        self._keep = keep
        self._head = bytearray()  # frame head and what is kept of the payload
        self._need = 2  # bytes of `_head` until something can be said
        self._head_size = 0  # of the frame head; 0 while it is not known
        self._size = 0
        self._skip = 0

    @property
    def is_within_frame(self) -> bool:
        """Whether the last bytes belong to a frame that is not whole yet."""
        return bool(self._head)

    def feed(self, data: memoryview) -> list[Frame]:
        """The frames that are whole now.

        Raises:
            FrameError: these bytes are no server's.
        """
        whole: list[Frame] = []
        at, end = 0, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                at += step
                self._skip -= step
                self._count(step)
                if not self._skip:
                    whole.append(self._finish(self.fed_bytes + at))
                continue
            step = min(self._need - len(self._head), end - at)
            self._head += data[at : at + step]
            at += step
            if self._head_size:
                self._count(step)
            if len(self._head) == self._need and self._advance():
                whole.append(self._finish(self.fed_bytes + at))
        self.fed_bytes += end
        return whole

    def _count(self, size: int) -> None:
        if self._head[0] & 0xF == BINARY:
            self.binary_bytes += size

    def _advance(self) -> bool:
        """What is needed is there: go on to what is needed next. True once the frame is whole."""
        if not self._head_size:
            size = self._head[1]
            if size & _MASKED:
                raise FrameError("a masked frame")
            size &= _LENGTH
            long = {126: _UINT16, 127: _UINT64}.get(size)
            if long is not None and len(self._head) == 2:
                self._need = 2 + long.size
                return False
            if long is not None:
                size = long.unpack_from(self._head, 2)[0]
            self._size = size
            self._head_size = self._need
            self._need += min(size, self._keep)
            if self._need > self._head_size:
                return False
        self._skip = self._size - (self._need - self._head_size)
        return not self._skip

    def _finish(self, end: int) -> Frame:
        frame = Frame(self._head[0] & 0xF, bytes(self._head[self._head_size :]), self._size, end)
        self._head.clear()
        self._need, self._head_size = 2, 0
        return frame
