"""Reads a bus until it has given what a test waits for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

from feedgate_kit.bus.ports import EventConsumer, StateReader
from feedgate_kit.bus.record import Record, StoredRecord

PATIENCE_S = 20.0
"""How long a test waits for what must come; it waits so long only where something is broken."""

T = TypeVar("T")


def record(key: str, number: int, value: bytes | None = None) -> Record:
    return Record(key, b"%d" % number if value is None else value, {"version": str(number)})


def numbers(records: Sequence[Record]) -> list[int]:
    return [int(each.headers["version"]) for each in records]


async def soon(awaited: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await awaited


async def read_state(reader: StateReader, count: int) -> list[Record]:
    """At least `count` records."""
    records: list[Record] = []
    while len(records) < count:
        records += await soon(reader.read())
    return records


async def read_events(consumer: EventConsumer, count: int) -> list[StoredRecord]:
    """At least `count` records."""
    stored: list[StoredRecord] = []
    while len(stored) < count:
        stored += await soon(consumer.read())
    return stored


async def take(records: AsyncIterator[T], count: int) -> list[T]:
    """Exactly `count` records of a tail."""
    return [await soon(anext(records)) for _ in range(count)]
