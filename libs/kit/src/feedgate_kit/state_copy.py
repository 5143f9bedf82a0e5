"""A full copy of a state topic, and how fresh it is.

Never persisted: it starts empty and is built from the log's first record. It
takes the log at its word only in order, so a heartbeat vouches for everything
that lies before it and for nothing else.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.ports import StateLog
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import UnreadableRecordError

FRESH_US = 4 * MICROSECONDS
"""A copy is fresh while the newest heartbeat it read is younger than this (design §3)."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)

OnChange = Callable[[Collection[str]], None]


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the newest heartbeat said, and when it was read."""

    as_of_us: int  # the publisher's clock, microseconds since the Unix epoch
    read_at_s: float  # this reader's monotonic clock


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    version: int
    value: T | None  # None: unreadable, denied until a higher version


class StateCopy(Generic[T]):
    """The highest version of every key read so far.

    A record that does not parse denies its key, never leaving the old value in
    force, until a record of a higher version (design §3).
    """

    def __init__(self, decode: Callable[[bytes], T], clock: Clock) -> None:
        """Start empty and not fresh.

        Args:
            decode: from a record's value; raises `UnreadableRecordError` where it cannot.
            clock: read once per heartbeat.
        """
        self.decode = decode
        self.clock = clock
        self.is_catching_up = False
        """It is read in pieces, and nobody has been told yet of what changed: whatever was read, it is not fresh."""
        self._freshness: Freshness | None = None
        self.unreadable = 0
        self.offset_us: int | None = None
        """This clock less the newest heartbeat's `as_of`, at its reading: its way here, and the clocks' difference."""
        self._entries: dict[str, _Entry[T]] = {}

    def apply(self, record: Record) -> str | None:
        """Take the next record of the log; the key whose value changed, if one did."""
        if record.key == HEARTBEAT_KEY:
            self._apply_heartbeat(record)
            return None
        known = self._entries.get(record.key)
        try:
            version, value = _version_of(record), self.decode(record.value)
        except UnreadableRecordError:
            self.unreadable += 1
            self._entries[record.key] = _Entry(_version_to_beat(record, known), None)
            return record.key
        if known is not None and version <= known.version:
            return None
        self._entries[record.key] = _Entry(version, value)
        return record.key

    def _apply_heartbeat(self, record: Record) -> None:
        try:
            heartbeat = Heartbeat.FromString(record.value)
        except DecodeError:
            self.unreadable += 1  # an unreadable heartbeat is none
            return
        # The last one read, not the greatest: each vouches truly for what lies
        # before it, and a clock that was ahead and was set back is left behind.
        as_of_us = heartbeat.as_of.ToMicroseconds()
        self._freshness = Freshness(as_of_us, self.clock.monotonic_s())
        self.offset_us = self.clock.now_us() - as_of_us

    @property
    def freshness(self) -> Freshness | None:
        """Of the newest heartbeat; None before the first, and while the copy catches up."""
        return None if self.is_catching_up else self._freshness

    def get(self, key: str) -> T | None:
        """The value in force, or None: missing or unreadable, which both deny."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def version(self, key: str) -> int:
        """The version in force, 0 for a key never read."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.version

    def is_fresh(self, *, skew_us: int) -> bool:
        """Whether what was read can be relied on now.

        Args:
            skew_us: how far two hosts' clocks may lie apart; 0 in one process.
        """
        freshness = self.freshness
        if freshness is None:
            return False
        age_us = self.clock.now_us() - freshness.as_of_us
        silent_s = self.clock.monotonic_s() - freshness.read_at_s
        return -skew_us <= age_us < FRESH_US and silent_s < FRESH_US / MICROSECONDS

    def age_us(self) -> int | None:
        """How old the newest heartbeat is by this clock; None where `freshness` is."""
        freshness = self.freshness
        return None if freshness is None else self.clock.now_us() - freshness.as_of_us


def _version_of(record: Record) -> int:
    text = record.headers.get(VERSION_HEADER, "")
    if not text.isascii() or not text.isdigit():
        raise UnreadableRecordError(f"version header `{text[:40]}` of key `{record.key}` is not a number")
    return int(text)


def _version_to_beat(record: Record, known: _Entry[T] | None) -> int:
    """The highest version that cannot lift the denial.

    Where the header shows that the unreadable record is older than what was
    read, the publisher will see an old record at the end of its log and send
    the newest version again: that one lifts the denial.
    """
    least = 0 if known is None else known.version
    try:
        return max(least - 1, _version_of(record))
    except UnreadableRecordError:
        return least


def protobuf_decoder(message: type[M]) -> Callable[[bytes], M]:
    """A decoder for `StateCopy` of one message type."""

    def decode(value: bytes) -> M:
        try:
            return message.FromString(value)
        except DecodeError as error:
            raise UnreadableRecordError(f"not a `{message.DESCRIPTOR.full_name}`: {error}") from error

    return decode


async def follow_state(
    log: StateLog,
    copy: StateCopy[T],
    on_change: OnChange,
    caught_up: asyncio.Event | None = None,
) -> None:
    """Feed `copy` from the log's first record on, until cancelled.

    Args:
        log: the topic.
        copy: an empty copy; it must not be fed twice.
        on_change: called after every batch with the keys that changed; with none after mere heartbeats.
        caught_up: set once everything that was in the log at the start is in the copy.
    """
    reader = await log.open_reader()
    try:
        changed: set[str] = set()
        copy.is_catching_up = True
        async for batch in reader.to_end():
            changed |= _applied(copy, batch)
        copy.is_catching_up = False
        while True:
            on_change(changed)
            if caught_up is not None:
                caught_up.set()
            changed = _applied(copy, await reader.read())
    finally:
        await reader.close()


def _applied(copy: StateCopy[T], batch: Sequence[Record]) -> set[str]:
    """The keys that it changed."""
    return {key for record in batch if (key := copy.apply(record)) is not None}
