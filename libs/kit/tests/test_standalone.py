"""A service of its own: without its bus it goes on, and what stands in the way is named."""

import asyncio
from typing import Any, cast

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import BusError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning
from feedgate_kit.topics import TopicError


class Failing:
    """A bus that fails to start as it is told, one failure after the other."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.attempted: asyncio.Queue[None] = asyncio.Queue()

    async def start(self) -> None:
        self.attempted.put_nowait(None)
        if self.failures:
            raise self.failures.pop(0)

    async def close(self) -> None:
        pass


def serving(bus: Failing) -> Service:
    service = Service(name="audit", public=FastAPI(), internal=FastAPI(), registry=CollectorRegistry())
    return owning(service, bus=cast("Bus", bus), verifier=TokenVerifier([], SystemClock()))


async def attempts(bus: Failing, count: int) -> None:
    async with asyncio.timeout(10):
        for _ in range(count):
            await bus.attempted.get()


async def test_topics_that_are_not_as_their_files_say_keep_it_unready_until_they_are() -> None:
    bus = Failing(TopicError("topic `x` has 2 partitions in Kafka; allowed: 1"))
    service: Any = serving(bus)
    async with service.lifespan():
        await attempts(bus, 1)
        assert service.readiness.waiting_for() == ["Kafka's topics as their files say"]
        await attempts(bus, 1)
        await asyncio.sleep(0)  # the second attempt has begun; let it end
        assert service.readiness.waiting_for() == []


async def test_a_kafka_that_is_down_is_waited_for_and_is_no_matter_of_topics() -> None:
    bus = Failing(BusError("connecting to kafka: refused"))
    service = serving(bus)
    async with service.lifespan():
        await attempts(bus, 1)
        assert service.readiness.waiting_for() == []
