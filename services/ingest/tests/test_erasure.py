"""A stopped stream is erased for certain, or has expired by then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from feedgate_ingest.erasure import KEPT_S, Erasures
from feedgate_ingest.metrics import IngestMetrics
from feedgate_kit.bus.ports import MediaTail
from feedgate_kit.bus.record import Record
from feedgate_kit.errors import BusError
from feedgate_kit.stepped_clock import SteppedClock


class Feed:
    """Erases, once it has failed as often as it is told to."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.error: Exception = BusError("away")
        self.erased: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    def offer(self, record: Record) -> bool:
        raise NotImplementedError(record)

    async def open_tail(self, key: str) -> MediaTail:
        raise NotImplementedError(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        if self.failures.get(key, 0):
            self.failures[key] -= 1
            raise self.error
        self.erased.put_nowait((key, spare_s))


class Scene:
    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.feed = Feed()
        self.registry = CollectorRegistry()
        self.waited: asyncio.Queue[float] = asyncio.Queue()
        self.erasures = Erasures(
            self.feed, self.clock, IngestMetrics(self.registry), skew_s=0.5, pause=self.pause
        )

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.waited.put_nowait(seconds)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.erasures.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("ingest_erasures_total", {"result": result})


async def next_of(queue: asyncio.Queue[tuple[str, float]]) -> tuple[str, float]:
    async with asyncio.timeout(5):
        return await queue.get()


async def test_a_stream_is_erased_when_no_relay_would_show_what_lies_beside_it() -> None:
    scene = Scene()
    async with scene.running():
        scene.erasures.ask("cam/original")
        assert await next_of(scene.feed.erased) == ("cam/original", 3.5)
        await asyncio.sleep(0)
    assert (scene.count("done"), scene.count("given_up")) == (1, 0)


@pytest.mark.parametrize("error", [BusError("away"), RuntimeError("nobody expected it")], ids=repr)
async def test_it_is_tried_again_and_holds_up_no_other(error: Exception) -> None:
    scene = Scene()
    scene.feed.error = error
    scene.feed.failures["cam/original"] = 3
    async with scene.running():
        scene.erasures.ask("cam/original")
        scene.erasures.ask("other/original")
        assert (await next_of(scene.feed.erased))[0] == "other/original"
        assert (await next_of(scene.feed.erased))[0] == "cam/original"
    assert scene.waited.qsize() == 3


async def test_it_is_given_up_when_the_bus_has_forgotten_by_itself() -> None:
    scene = Scene()
    scene.feed.failures["cam/original"] = 10_000
    began_s = scene.clock.monotonic_s()
    async with scene.running(), asyncio.timeout(5):
        scene.erasures.ask("cam/original")
        while not scene.count("given_up"):  # noqa: ASYNC110 - the metrics tell nobody
            await asyncio.sleep(0)
    assert KEPT_S - 10 < scene.clock.monotonic_s() - began_s <= KEPT_S
