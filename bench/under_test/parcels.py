"""Bus records on a socket between two processes of a bench, so that each may have a bus of its own."""

import json
import struct
from typing import Final

from feedgate_kit.bus.record import Record

_HEAD: Final = struct.Struct(">HHHI")
"""Bytes of topic, key, headers as JSON, and value, which follow in this order."""


def pack(topic: str, record: Record) -> bytes:
    parts = (topic.encode(), record.key.encode(), json.dumps(dict(record.headers)).encode(), record.value)
    return b"".join((_HEAD.pack(*map(len, parts)), *parts))


class ParcelReader:
    """Takes bytes as they come; gives records with their topics."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, Record]]:
        self._unread += data
        parcels = []
        start = 0
        while len(self._unread) - start >= _HEAD.size:
            sizes = _HEAD.unpack_from(self._unread, start)
            end = start + _HEAD.size + sum(sizes)
            if end > len(self._unread):
                break
            parcels.append(_unpack(bytes(self._unread[start + _HEAD.size : end]), sizes))
            start = end
        del self._unread[:start]
        return parcels


def _unpack(data: bytes, sizes: tuple[int, ...]) -> tuple[str, Record]:
    parts = []
    at = 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    topic, key, headers, value = parts
    return topic.decode(), Record(key.decode(), value, json.loads(headers))
