"""What a service has said on its own state topic, which a database restored from a backup may have forgotten."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from feedgate_kit.bus.ports import StateLog
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.errors import UnreadableRecordError

T = TypeVar("T")

LOST_IN_RESTORE = "lost_in_restore"
"""Reason code of whatever ends because a restored database no longer knows it."""


@dataclass(frozen=True, slots=True)
class Published(Generic[T]):
    """The highest version of a key, as its readers keep it."""

    version: int
    value: T | None  # None: unreadable, which shows nothing


async def read_published(log: StateLog, decode: Callable[[bytes], T]) -> dict[str, Published[T]]:
    """Every key of the topic, read to its end as it is now.

    Raises:
        BusError: the end was not reached; nothing may be concluded from what was read.
    """
    reader = await log.open_reader()
    try:
        return newest_of(await reader.read_to_end(), decode)
    finally:
        await reader.close()


def newest_of(records: Iterable[Record], decode: Callable[[bytes], T]) -> dict[str, Published[T]]:
    """The highest version of every key.

    A record without a readable version is left out: the publisher takes it for older than
    everything, and sends the newest version again.
    """
    newest: dict[str, Published[T]] = {}
    for record in records:
        text = record.headers.get(VERSION_HEADER, "")
        if record.key == HEARTBEAT_KEY or not (text.isascii() and text.isdigit()):
            continue
        version = int(text)
        if record.key not in newest or version >= newest[record.key].version:
            newest[record.key] = Published(version, _value(record, decode))
    return newest


def _value(record: Record, decode: Callable[[bytes], T]) -> T | None:
    try:
        return decode(record.value)
    except UnreadableRecordError:
        return None
