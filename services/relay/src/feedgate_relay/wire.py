"""The bytes of a WebSocket message as they go to the socket, made once for all viewers.

RFC 6455 §5.2 frames of a server: final, unmasked, not compressed. A media
message is a 16-byte header and the fragmented MP4 bytes:

    uint8  kind      1 init segment, 2 fragment
    uint8  flags     bit 0 keyframe, bit 1 discontinuity
    uint16 tile      0
    uint32 sequence  of the access unit in its run, mod 2^32
    uint64 sent_at   microseconds since the Unix epoch, when handed to the socket

All numbers big-endian.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

INIT: Final = 1
FRAGMENT: Final = 2
KEYFRAME: Final = 1
DISCONTINUITY: Final = 2
TILE: Final = 0
MEDIA_HEADER: Final = struct.Struct(">BBHIQ")

_BINARY: Final = 0x82
_TEXT: Final = 0x81
_LENGTH_16: Final = struct.Struct(">BBH")
_LENGTH_64: Final = struct.Struct(">BBQ")


def _head(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes((opcode, size))
    if size < 65536:
        return _LENGTH_16.pack(opcode, 126, size)
    return _LENGTH_64.pack(opcode, 127, size)


def media_frame(kind: int, flags: int, sequence: int, sent_at_us: int, body: bytes) -> bytes:
    """One binary message with its frame head."""
    head = _head(_BINARY, MEDIA_HEADER.size + len(body))
    return b"".join((head, MEDIA_HEADER.pack(kind, flags, TILE, sequence & 0xFFFFFFFF, sent_at_us), body))


def text_frame(message: Mapping[str, Any]) -> bytes:
    """One JSON message with its frame head."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    return _head(_TEXT, len(body)) + body


def lease_frame(number: int) -> bytes:
    """The message that keeps a page uncovered, sent every second."""
    body = b'{"n":%d,"type":"lease"}' % number
    return _head(_TEXT, len(body)) + body
