"""The hash chain over everything that was recorded: an edit or a gap breaks it.

    hash = SHA-256(previous hash (32 bytes; zeros before the first entry)
                   || position (uint64) || recorded_at_us (uint64)
                   || length of the type's name (uint16) || the name
                   || the record's bytes as they came from the bus)

Numbers are big-endian. An auditor needs only the rows, in order, to check it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """One recorded fact at its place in the chain."""

    position: int  # from 1, without gaps
    recorded_at_us: int  # when audit took it, microseconds since the Unix epoch
    type: str  # protobuf full name of the value
    value: bytes
    previous_hash: bytes
    hash: bytes


def link(previous_hash: bytes, position: int, recorded_at_us: int, type_: str, value: bytes) -> ChainEntry:
    """The entry that follows `previous_hash`."""
    name = type_.encode()
    digest = hashlib.sha256(
        previous_hash
        + position.to_bytes(8, "big")
        + recorded_at_us.to_bytes(8, "big")
        + len(name).to_bytes(2, "big")
        + name
        + value
    ).digest()
    return ChainEntry(position, recorded_at_us, type_, value, previous_hash, digest)


def first_break(entries: Iterable[ChainEntry]) -> int | None:
    """The position of the first entry that does not follow from the ones before it.

    Args:
        entries: the chain from its first entry on, in order.

    Returns:
        None if every entry follows. The end is not proven: entries cut off from
        there leave an unbroken, shorter chain.
    """
    previous_hash = GENESIS
    for position, entry in enumerate(entries, start=1):
        expected = link(previous_hash, position, entry.recorded_at_us, entry.type, entry.value)
        if entry != expected:
            return position
        previous_hash = entry.hash
    return None
