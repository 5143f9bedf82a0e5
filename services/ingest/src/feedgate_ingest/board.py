"""Tells registry and relays how streams fare."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from feedgate_ingest.feed_state import FeedState
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.reasons import Phase
from feedgate_kit.bus.ports import StateLog
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock

logger = structlog.get_logger(__name__)


class ToRecord(Protocol):
    """How a feed state becomes a record."""

    def __call__(self, state: FeedState, *, version: int) -> Record: ...


class Board:
    """The last word on every stream, sent as soon as the bus takes it.

    Nothing waits for it and no right depends on it. While the bus is away, only the last
    word on each stream is kept.
    """

    def __init__(self, log: StateLog, to_record: ToRecord, clock: Clock, metrics: IngestMetrics) -> None:
        self._log = log
        self._to_record = to_record
        self._clock = clock
        self._metrics = metrics
        self._said: dict[str, FeedState] = {}
        self._unsent: dict[str, FeedState] = {}
        self._has_news = asyncio.Event()
        self._version = 0

    def say(self, state: FeedState) -> None:
        """The next word on a stream; what says nothing new is not repeated."""
        if state.says_the_same_as(self._said.get(state.stream)):
            return
        self._said[state.stream] = state
        self._unsent[state.stream] = state
        self._count()
        self._has_news.set()

    def forget(self, streams: Iterable[str]) -> None:
        """Nobody asks about these any more."""
        for stream in streams:
            self._said.pop(stream, None)
        self._count()

    def leave(self, streams: Iterable[str]) -> None:
        """These are others' to speak of: not even what waits to be sent is said."""
        for stream in streams:
            self._unsent.pop(stream, None)
            self._said.pop(stream, None)
        self._count()

    async def recall(
        self, read: Callable[[Record], FeedState | None], floor: Callable[[Record], int]
    ) -> None:
        """Read what was said before, here or by others, and take back what is no longer so.

        Args:
            read: what is to be said now in place of a record, None to leave it.
            floor: the version of a record, which later ones must exceed.
        """
        reader = await self._log.open_reader()
        try:
            last = {record.key: record for record in await reader.read_to_end()}
        finally:
            await reader.close()
        for record in last.values():
            self._version = max(self._version, floor(record))
            state = read(record)
            if state is not None and record.key not in self._said:
                self._unsent[record.key] = state
                self._has_news.set()

    async def run(self) -> None:
        """Send, until cancelled. A failure loses nothing: the next call sends what this one did not."""
        while True:
            await self._has_news.wait()
            await self.send()

    async def send(self) -> None:
        """Send all there is to say.

        Raises:
            BusError: the bus did not take it; it is kept.
        """
        self._has_news.clear()
        while self._unsent:
            stream, state = next(iter(self._unsent.items()))
            # Highest wins with readers, across workers and restarts: the clock, or one more than before.
            self._version = max(self._version + 1, self._clock.now_us())
            try:
                await self._log.append(self._to_record(state, version=self._version))
            except BaseException:
                self._has_news.set()
                raise
            if self._unsent.get(stream) is state:
                del self._unsent[stream]

    def _count(self) -> None:
        phases = Counter(state.phase for state in self._said.values())
        for phase in Phase:
            self._metrics.cameras.labels(phase.value).set(phases[phase])
