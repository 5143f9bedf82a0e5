"""What ingest publishes of some streams while they are demanded, and for how long it publishes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.bus.ports import Bus, MediaTail
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.topics import ACCESS_UNITS, DEMAND_EVENTS, load_topics
from feedgate_tools.demo.story import People

DEMAND_S = 2.0
TIMEOUT_S = 25.0
RELAY_ID = "a-relay-of-the-tests"
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture as it is on the bus."""

    received_at_us: int
    run: bytes
    generation: int


class Feed:
    """One stream."""

    def __init__(self, camera_id: str) -> None:
        self.camera_id = camera_id
        self.pictures: list[Seen] = []
        self._changed = asyncio.Event()

    @property
    def generation(self) -> int:
        return self.pictures[-1].generation

    @property
    def runs(self) -> list[bytes]:
        """In the order they came."""
        return list(dict.fromkeys(picture.run for picture in self.pictures))

    def longest_gap_s(self, from_us: int) -> float:
        """Between two pictures next to each other, the later of them received after a moment."""
        times = [picture.received_at_us for picture in self.pictures]
        gaps = [later - before for before, later in pairwise(times) if later > from_us]
        return max(gaps, default=0) / MICROSECONDS

    async def until_playing(self, pictures: int = 25) -> None:
        wanted = len(self.pictures) + pictures
        await self._until(lambda: len(self.pictures) >= wanted)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not self.pictures or not holds():
                self._changed.clear()
                await self._changed.wait()

    async def take(self, tail: MediaTail) -> None:
        async for record in tail:
            unit = AccessUnit.FromString(record.value)
            self.pictures.append(Seen(unit.received_at_us, unit.run, unit.epoch.generation))
            self._changed.set()


async def cameras_apart(people: People, source_url: str, wanted: int) -> list[str]:
    """Shared cameras, no two of them in one partition of demand, so that any two may have two workers."""
    count = load_topics()[DEMAND_EVENTS].partitions
    chosen: dict[int, str] = {}
    while len(chosen) < wanted:
        camera_id = await people.register_camera(source_url)
        if chosen.setdefault(partition_of(camera_id, count), camera_id) == camera_id:
            await people.authorise(camera_id)
    return list(chosen.values())


@asynccontextmanager
async def demanded(bootstrap: str, camera_ids: Collection[str]) -> AsyncIterator[list[Feed]]:
    """The streams of cameras, demanded as by a relay with views of them."""
    bus = KafkaBus(KafkaSettings(bootstrap=bootstrap), CLOCK)
    await bus.start()
    tasks: list[asyncio.Task[None]] = []
    try:
        feeds = [Feed(camera_id) for camera_id in camera_ids]
        for feed in feeds:
            tail = await bus.media_feed(ACCESS_UNITS).open_tail(f"{feed.camera_id}/original")
            tasks.append(asyncio.create_task(feed.take(tail)))
        tasks.append(asyncio.create_task(_demand(bus, camera_ids)))
        yield feeds
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await bus.close()


async def _demand(bus: Bus, camera_ids: Collection[str]) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    while True:
        for camera_id in camera_ids:
            message = StreamDemanded(stream=f"{camera_id}/original", relay_id=RELAY_ID)
            message.demanded_at.FromMicroseconds(CLOCK.now_us())
            await log.append(Record(camera_id, message.SerializeToString()))
        await asyncio.sleep(DEMAND_S)
