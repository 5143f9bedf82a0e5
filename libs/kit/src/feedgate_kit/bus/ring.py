"""Coded video in bounded memory: one ring per stream, shared by all who follow it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Self

from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock

RING_BYTES = 16 * 1024 * 1024
"""Over six seconds of 20 Mbit/s; a stream nobody follows takes none."""
RING_S = 5.0
"""Past this a picture is older than any relay would show."""


class Rings:
    """What was offered lately, for the streams that somebody follows."""

    def __init__(
        self,
        clock: Clock,
        *,
        limit_bytes: int = RING_BYTES,
        limit_s: float = RING_S,
        on_idle: Callable[[str], None] | None = None,
    ) -> None:
        """Args: on_idle: told the key whose last tail has closed."""
        self.limit_bytes = limit_bytes
        self.limit_s = limit_s
        self._clock = clock
        self._on_idle = on_idle
        self._rings: dict[str, _Ring] = {}

    def push(self, record: Record) -> None:
        """Hand a record to those who follow its key; the oldest give way to it."""
        ring = self._rings.get(record.key)
        if ring is not None:
            ring.push(record)

    def open_tail(self, key: str) -> "RingTail":
        """The records of `key` pushed from now on."""
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = _Ring(self._clock, self.limit_bytes, self.limit_s)
        return ring.open_tail(lambda tail: self._closed(key, ring, tail))

    def forget(self, key: str) -> None:
        """Drop what was pushed of `key` and is not read yet."""
        ring = self._rings.get(key)
        if ring is not None:
            ring.forget()

    def close(self) -> None:
        """End every tail."""
        for ring in list(self._rings.values()):
            for tail in list(ring.tails):
                tail.end()

    def _closed(self, key: str, ring: "_Ring", tail: "RingTail") -> None:
        ring.tails.discard(tail)
        if ring.tails:
            ring.drop_read()
        elif self._rings.get(key) is ring:
            del self._rings[key]
            if self._on_idle is not None:
                self._on_idle(key)


class RingTail:
    """One follower of one stream. A follower that does not keep up loses the oldest records."""

    def __init__(self, ring: "_Ring", on_end: Callable[["RingTail"], None]) -> None:
        self.next = ring.end
        self._ring = ring
        self._on_end = on_end
        self._waiting: asyncio.Future[None] | None = None
        self._ended = False

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while not self._ended:
            if (record := self._ring.take(self)) is not None:
                return record
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        raise StopAsyncIteration

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.wake()
            self._on_end(self)

    def wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()


class _Ring:
    """Records numbered from `first` up to, not including, `end`."""

    def __init__(self, clock: Clock, limit_bytes: int, limit_s: float) -> None:
        self.tails: set[RingTail] = set()
        self.end = 0
        self._first = 0
        self._bytes = 0
        self._records: deque[tuple[float, Record]] = deque()
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._limit_s = limit_s

    def open_tail(self, on_end: Callable[[RingTail], None]) -> RingTail:
        tail = RingTail(self, on_end)
        self.tails.add(tail)
        return tail

    def push(self, record: Record) -> None:
        self._records.append((self._clock.monotonic_s(), record))
        self._bytes += len(record.value)
        self.end += 1
        while self._bytes > self._limit_bytes and len(self._records) > 1:
            self._drop_first()
        self._drop_old()
        for tail in self.tails:
            tail.wake()

    def take(self, tail: RingTail) -> Record | None:
        """The tail's next record that is still here, if any."""
        self._drop_old()
        tail.next = max(tail.next, self._first)
        if tail.next == self.end:
            return None
        record = self._records[tail.next - self._first][1]
        tail.next += 1
        if tail.next - 1 == self._first:
            self.drop_read()
        return record

    def forget(self) -> None:
        """Drop everything; tails go on with what comes."""
        while self._records:
            self._drop_first()

    def drop_read(self) -> None:
        """Let go of what every tail has read."""
        slowest = min(tail.next for tail in self.tails)
        while self._first < slowest:
            self._drop_first()

    def _drop_old(self) -> None:
        oldest_s = self._clock.monotonic_s() - self._limit_s
        while self._records and self._records[0][0] < oldest_s:
            self._drop_first()

    def _drop_first(self) -> None:
        self._bytes -= len(self._records.popleft()[1].value)
        self._first += 1
