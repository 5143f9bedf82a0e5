"""A bus that fails on command: what the real one does on its worst days, one step at a time.

Nothing here reads a clock or waits for time to pass. Every delay lasts until
the test ends it, and every choice comes from the test or from a seed, so a run
can be repeated. Topics are stopped and let go one by one, which is how records
of different topics change their order. Components that are to see different
weather get a wrapper each around one shared bus.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Any, Generic, TypeVar

from feedgate_kit.bus.ports import (
    Bus,
    ClosedError,
    EventConsumer,
    EventLog,
    MediaFeed,
    MediaTail,
    StateLog,
    StateReader,
    Tenure,
)
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.errors import BusError

MEDIA_CAPACITY = 75
"""Pictures a stopped media topic takes before it pushes back."""


class Fault(Enum):
    """What becomes of one record on its way in."""

    LATE = "reported failed; it lands when `land` is called: a dead predecessor's write"
    UNACKNOWLEDGED = "it lands, but is reported failed"
    REFUSED = "reported failed, and never lands"
    TWICE = "it lands twice"


Schedule = Callable[[str, Record], Fault | None]
"""Chooses the fate of each record by its topic."""


class SeededFaults:
    """Faults by chance, the same for the same seed and the same calls."""

    def __init__(self, seed: int, rates: Mapping[Fault, float] | None = None) -> None:
        """Draw from `rates`: how often each fault happens, 5 % each if left out."""
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._rates = dict(rates or dict.fromkeys(Fault, 0.05))

    def __call__(self, topic: str, record: Record) -> Fault | None:
        del topic, record
        drawn = self._dice.random()
        for fault, rate in self._rates.items():
            if drawn < rate:
                return fault
            drawn -= rate
        return None


class FaultyBus:
    """Any bus, and the faults that the test asks for.

    Args:
        inner: the bus that keeps the records.
        seed: faults by chance; none if left out.
        schedule: chooses faults instead of a seed.
        shared: the caller opens and closes `inner`, because others use it too.
    """

    def __init__(
        self, inner: Bus, seed: int | None = None, *, schedule: Schedule | None = None, shared: bool = False
    ) -> None:
        self._inner = inner
        self._shared = shared
        if schedule is None and seed is not None:
            schedule = SeededFaults(seed)
        self._lanes: defaultdict[str, _Lane] = defaultdict(lambda: _Lane(schedule))
        self._state_logs: dict[str, FaultyStateLog] = {}
        self._event_logs: dict[str, FaultyEventLog] = {}
        self._media_feeds: dict[str, FaultyMediaFeed] = {}

    async def start(self) -> None:
        if not self._shared:
            await self._inner.start()

    def state_log(self, topic: str) -> "FaultyStateLog":
        if topic not in self._state_logs:
            log = self._inner.state_log(topic)
            self._state_logs[topic] = FaultyStateLog(topic, log, self._lanes[topic])
        return self._state_logs[topic]

    def event_log(self, topic: str) -> "FaultyEventLog":
        if topic not in self._event_logs:
            log = self._inner.event_log(topic)
            self._event_logs[topic] = FaultyEventLog(topic, log, self._lanes[topic])
        return self._event_logs[topic]

    def media_feed(self, topic: str) -> "FaultyMediaFeed":
        if topic not in self._media_feeds:
            feed = self._inner.media_feed(topic)
            self._media_feeds[topic] = FaultyMediaFeed(topic, feed, self._lanes[topic])
        return self._media_feeds[topic]

    async def close(self) -> None:
        """Close; records that were late by then never land."""
        for lane in self._lanes.values():
            lane.close()
        if not self._shared:
            await self._inner.close()

    def fail_next(self, topic: str, *faults: Fault) -> None:
        """The next records of the topic meet these faults, one each, before any schedule."""
        self._lanes[topic].next_faults.extend(faults)

    def hold(self, topic: str) -> None:
        """Readers get no more records of the topic: they lag. Appends go on; media wait on their way in."""
        self._lanes[topic].hold()

    async def release(self, topic: str, records: int | None = None) -> None:
        """Let each reader have that many records more, or all of them and end the hold."""
        lane = self._lanes[topic]
        lane.release(records)
        if topic in self._media_feeds:
            self._media_feeds[topic].pass_on(records)

    def freeze(self, topic: str, *, patient: bool = False) -> None:
        """The topic stands still, as a stopped broker does: reads wait and say nothing.

        Appends and reads to the end fail at once, as after a timeout, and the
        appended records are late. With `patient` those calls wait instead; one
        that is cancelled meanwhile leaves its record late.
        """
        self._lanes[topic].freeze(patient=patient)

    async def thaw(self, topic: str, *, land: bool = True) -> None:
        """The topic moves again; what was late lands first, unless it is to stay late."""
        lane = self._lanes[topic]
        if land:
            await self.land(topic)
        lane.thaw()
        if topic in self._media_feeds and not lane.held:
            self._media_feeds[topic].pass_on(None)

    async def land(self, topic: str, records: int | None = None) -> None:
        """Late records arrive, oldest first, that many or all."""
        late = self._lanes[topic].late
        count = len(late) if records is None else min(records, len(late))
        for _ in range(count):
            await late.popleft()()

    def late(self, topic: str) -> int:
        """How many records have been reported failed and may still land."""
        return len(self._lanes[topic].late)

    async def repeat(self, topic: str) -> None:
        """Consumers of the topic get again what they have not committed, as after a rebalance."""
        if topic in self._event_logs:
            self._event_logs[topic].repeat()


class FaultyStateLog:
    """A state log behind a lane."""

    def __init__(self, topic: str, inner: StateLog, lane: "_Lane") -> None:
        self._topic = topic
        self._inner = inner
        self._lane = lane

    async def append(self, record: Record) -> None:
        await _append(self._topic, self._inner, self._lane, record)

    async def open_reader(self) -> "FaultyStateReader":
        await self._lane.ask(f"opening `{self._topic}`")
        return FaultyStateReader(self._topic, await self._inner.open_reader(), self._lane)


class FaultyStateReader:
    """A reader that may lag or stand still."""

    def __init__(self, topic: str, inner: StateReader, lane: "_Lane") -> None:
        self._topic = topic
        self._inner = inner
        self._passage = _Passage[Record](lane)

    async def read(self) -> Sequence[Record]:
        return await self._passage.some(self._inner.read)

    async def read_to_end(self) -> Sequence[Record]:
        await self._passage.lane.ask(f"reading `{self._topic}` to its end")
        self._passage.waiting.extend(await self._inner.read_to_end())
        return await self._passage.all(f"reading `{self._topic}` to its end")

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        yield await self.read_to_end()

    async def close(self) -> None:
        await self._passage.close()
        await self._inner.close()


class FaultyEventLog:
    """An event log behind a lane."""

    def __init__(self, topic: str, inner: EventLog, lane: "_Lane") -> None:
        self._topic = topic
        self._inner = inner
        self._lane = lane
        self._consumers: list[FaultyConsumer] = []

    async def append(self, record: Record) -> None:
        await _append(self._topic, self._inner, self._lane, record)

    async def open_consumer(self, group: str, tenure: Tenure | None = None) -> "FaultyConsumer":
        await self._lane.ask(f"opening `{self._topic}`")
        inner = await self._inner.open_consumer(group, tenure)
        consumer = FaultyConsumer(self._topic, inner, self._lane)
        self._consumers.append(consumer)
        return consumer

    async def end(self) -> str:
        await self._lane.ask(f"asking where `{self._topic}` ends")
        return await self._inner.end()

    async def check(self, position: str) -> None:
        await self._lane.ask(f"looking for a position of `{self._topic}`")
        await self._inner.check(position)

    async def tail(self, after: str | None) -> AsyncGenerator[StoredRecord, None]:
        await self._lane.ask(f"opening `{self._topic}`")
        passage = _Passage[StoredRecord](self._lane)
        async with aclosing(self._inner.tail(after)) as records:

            async def next_one() -> Sequence[StoredRecord]:
                return [await anext(records)]

            try:
                while True:
                    for stored in await passage.some(next_one):
                        yield stored
            finally:
                await passage.close()

    def repeat(self) -> None:
        for consumer in self._consumers:
            consumer.repeat()


class FaultyConsumer:
    """A member of a group that may be given records again."""

    def __init__(self, topic: str, inner: EventConsumer, lane: "_Lane") -> None:
        self._topic = topic
        self._inner = inner
        self._passage = _Passage[StoredRecord](lane)
        self._uncommitted: list[StoredRecord] = []

    async def read(self) -> Sequence[StoredRecord]:
        stored = await self._passage.some(self._inner.read)
        self._uncommitted.extend(stored)
        return stored

    async def commit(self) -> None:
        """As the port says. What `read` had fetched and not yet returned is not committed either."""
        await self._passage.lane.ask(f"committing `{self._topic}`")
        if not self._passage.holds_back:
            await self._inner.commit()
            self._uncommitted.clear()

    async def close(self) -> None:
        await self._passage.close()
        await self._inner.close()

    def repeat(self) -> None:
        self._passage.waiting.extendleft(reversed(self._uncommitted))
        self._uncommitted.clear()
        self._passage.lane.wake()


class FaultyMediaFeed:
    """A media feed behind a lane: pictures wait on their way in, and come late."""

    def __init__(self, topic: str, inner: MediaFeed, lane: "_Lane") -> None:
        self._topic = topic
        self._inner = inner
        self._lane = lane
        self._waiting: deque[Record] = deque()

    def offer(self, record: Record) -> bool:
        fault = self._lane.fault(self._topic, record)
        if fault is Fault.REFUSED:
            return False
        if fault is Fault.LATE:
            self._lane.late.append(lambda: self._land(record))
            return True
        copies = 2 if fault is Fault.TWICE else 1
        if self._lane.stopped or self._waiting:
            if len(self._waiting) + copies > MEDIA_CAPACITY:
                return False
            self._waiting.extend([record] * copies)
            return True
        taken = [self._inner.offer(record) for _ in range(copies)]
        return all(taken)

    async def open_tail(self, key: str) -> MediaTail:
        await self._lane.ask(f"opening `{self._topic}`")
        return await self._inner.open_tail(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        await self._lane.ask(f"erasing in `{self._topic}`")
        self._waiting = deque(record for record in self._waiting if record.key != key)
        await self._inner.erase(key, spare_s=spare_s)

    def pass_on(self, records: int | None) -> None:
        """Pictures that waited go on, that many or all."""
        count = len(self._waiting) if records is None else min(records, len(self._waiting))
        for _ in range(count):
            self._inner.offer(self._waiting.popleft())

    async def _land(self, record: Record) -> None:
        self._inner.offer(record)


T = TypeVar("T")


class _Lane:
    """The weather of one topic."""

    def __init__(self, schedule: Schedule | None) -> None:
        self.next_faults: deque[Fault] = deque()
        self.late: deque[Callable[[], Awaitable[None]]] = deque()
        self.held = False
        self.holds = 0
        self.granted = 0
        self.frozen = False
        self.closed = False
        self._patient = False
        self._schedule = schedule
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def stopped(self) -> bool:
        return self.held or self.frozen

    def fault(self, topic: str, record: Record) -> Fault | None:
        if self.next_faults:
            return self.next_faults.popleft()
        return None if self._schedule is None else self._schedule(topic, record)

    def hold(self) -> None:
        self.held = True
        self.holds += 1
        self.granted = 0

    def release(self, records: int | None) -> None:
        if records is None:
            self.held = False
        else:
            self.granted += records
        self.wake()

    def freeze(self, *, patient: bool) -> None:
        self.frozen = True
        self._patient = patient

    def thaw(self) -> None:
        self.frozen = False
        self.wake()

    def close(self) -> None:
        self.closed = True
        self.wake()

    async def ask(self, doing: str) -> None:
        """Return when the topic answers.

        Raises:
            BusError: it stands still, and the caller is not one who waits.
        """
        while self.frozen and not self.closed:
            if not self._patient:
                raise BusError(f"{doing}: no answer in time")
            await self.changed()
        if self.closed:
            raise ClosedError(f"{doing}: bus is closed")

    async def changed(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


class _Passage(Generic[T]):
    """Lets one reader have as much as its lane allows; what has to wait, waits here."""

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        self.waiting: deque[T] = deque()
        self._fetching: asyncio.Future[Sequence[T]] | None = None
        self._hold = lane.holds
        self._taken = 0
        self._closed = False

    @property
    def holds_back(self) -> bool:
        """Whether the inner reader has given out what this one has not."""
        return bool(self.waiting) or (self._fetching is not None and self._fetching.done())

    async def some(self, fetch: Callable[[], Awaitable[Sequence[T]]]) -> list[T]:
        """At least one record, fetching more if none waits."""
        while True:
            self._check_open()
            if allowed := min(self._allowed(), len(self.waiting)):
                return self._take(allowed)
            if self.waiting:
                await self.lane.changed()
                continue
            if self._fetching is None:
                self._fetching = asyncio.ensure_future(fetch())
            changed: asyncio.Future[None] = asyncio.ensure_future(self.lane.changed())
            either: set[asyncio.Future[Any]] = {self._fetching, changed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            self._check_open()
            if self._fetching.done():
                fetched, self._fetching = self._fetching, None
                self.waiting.extend(fetched.result())

    async def all(self, doing: str) -> list[T]:
        """Everything that waits, once it may pass."""
        while self._allowed() < len(self.waiting):
            self._check_open()
            await self.lane.ask(doing)
            if self._allowed() < len(self.waiting):
                await self.lane.changed()
        self._check_open()
        return self._take(len(self.waiting))

    async def close(self) -> None:
        self._closed = True
        self.lane.wake()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
            self._fetching = None

    def _check_open(self) -> None:
        if self._closed or self.lane.closed:
            raise ClosedError("reader is closed")

    def _allowed(self) -> int:
        if self.lane.frozen:
            return 0
        if not self.lane.held:
            return len(self.waiting)
        if self._hold != self.lane.holds:
            self._hold, self._taken = self.lane.holds, 0
        return self.lane.granted - self._taken

    def _take(self, count: int) -> list[T]:
        if self.lane.held:
            self._taken += count
        return [self.waiting.popleft() for _ in range(count)]


async def _append(topic: str, log: StateLog | EventLog, lane: _Lane, record: Record) -> None:
    """Append, unless the record meets a fault."""
    doing = f"appending to `{topic}`"
    fault = lane.fault(topic, record)
    if fault is Fault.REFUSED:
        raise BusError(f"{doing}: refused")
    try:
        await lane.ask(doing)
    except (BusError, asyncio.CancelledError):
        lane.late.append(lambda: log.append(record))
        raise
    if fault is Fault.LATE:
        lane.late.append(lambda: log.append(record))
        raise BusError(f"{doing}: no acknowledgement in time")
    for _ in range(2 if fault is Fault.TWICE else 1):
        await log.append(record)
    if fault is Fault.UNACKNOWLEDGED:
        raise BusError(f"{doing}: no acknowledgement in time")
