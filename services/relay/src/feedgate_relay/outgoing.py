"""Records on their way to the bus: bounded, repeated until acknowledged, never awaited by delivery."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import structlog

from feedgate_kit.bus.record import Record
from feedgate_kit.errors import FeedgateError
from feedgate_kit.supervise import pauses
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.ports import FindLog

LANES: Final = 32
"""How many records may be under way at once. Records with one key keep their order."""
LANE_CAPACITY_RECORDS: Final = 2_000
"""Per lane; a record is about a kilobyte, so all lanes together hold some 64 MiB when the bus is away."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    topic: str
    record: Record
    kind: str
    acknowledged: asyncio.Future[None] | None


class Outgoing:
    """A queue in front of event logs. At least once: a record whose answer was lost is sent again."""

    def __init__(
        self,
        find_log: FindLog,
        metrics: RelayMetrics,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._find_log = find_log
        self._metrics = metrics
        self._pause = pause
        self._lanes: list[deque[_Waiting]] = [deque() for _ in range(LANES)]
        self._wake = [asyncio.Event() for _ in range(LANES)]
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def send(self, topic: str, record: Record, *, kind: str) -> None:
        """Take the record, or count it as lost if its lane is full."""
        self._put(_Waiting(topic, record, kind, None))

    async def acknowledged(self, topic: str, record: Record, *, kind: str) -> None:
        """Return once the bus has acknowledged the record, however long that takes.

        Raises:
            FeedgateError: it never will: the queue is full, or the bus refuses the record.
        """
        waiting = _Waiting(topic, record, kind, asyncio.get_running_loop().create_future())
        assert waiting.acknowledged is not None
        self._put(waiting)
        await waiting.acknowledged

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for number in range(LANES):
                lanes.create_task(self._run_lane(number))

    async def drained(self, within_s: float) -> None:
        """Return once everything is acknowledged, or `within_s` later."""
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("records left unsent", records=self._count)

    def _put(self, waiting: _Waiting) -> None:
        number = crc32(waiting.record.key.encode()) % LANES
        if len(self._lanes[number]) >= LANE_CAPACITY_RECORDS:
            self._lose(waiting, FeedgateError("too many records wait for the bus"))
            return
        self._lanes[number].append(waiting)
        self._count += 1
        self._metrics.events_waiting.set(self._count)
        self._empty.clear()
        self._wake[number].set()

    async def _run_lane(self, number: int) -> None:
        lane, wake = self._lanes[number], self._wake[number]
        while True:
            wake.clear()
            while lane:
                # It stays first in the lane until it is done with: a cancelled lane loses nothing.
                await self._deliver(lane[0])
                lane.popleft()
                self._count -= 1
                self._metrics.events_waiting.set(self._count)
                if self._count == 0:
                    self._empty.set()
            await wake.wait()

    async def _deliver(self, waiting: _Waiting) -> None:
        waits = pauses(first_s=0.1, longest_s=2.0)
        while True:
            try:
                await self._find_log(waiting.topic).append(waiting.record)
            except FeedgateError as error:
                if not error.retriable:
                    self._lose(waiting, error)
                    return
                logger.warning("record not acknowledged, trying again", topic=waiting.topic, error=str(error))
                await self._pause(next(waits))
            else:
                if waiting.acknowledged is not None and not waiting.acknowledged.done():
                    waiting.acknowledged.set_result(None)
                return

    def _lose(self, waiting: _Waiting, error: FeedgateError) -> None:
        self._metrics.events_lost.labels(waiting.kind).inc()
        logger.error("record lost", topic=waiting.topic, kind=waiting.kind, error=str(error))
        if waiting.acknowledged is not None and not waiting.acknowledged.done():
            waiting.acknowledged.set_exception(error)
