"""The backs of the bus, each behind the same face, each test on topics of its own."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

import pytest

from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.faulty import FaultyBus
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import SystemClock
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    Topic,
    apply_topics,
    dead_letters,
    load_topics,
)

NUMBERS = count(1)


@dataclass
class Back:
    """One back of the bus, with one topic of each kind."""

    make: Callable[[Mapping[str, Topic]], Bus]
    lasting: bool
    """Whether what was appended is there for the next process."""
    topics: Mapping[str, Topic]
    state: str
    events: str
    media: str
    bus: Bus = field(init=False)

    async def open(self) -> None:
        self.bus = self.make(self.topics)
        await self.bus.start()

    async def reopen(self) -> None:
        """What a restart of the process does."""
        await self.bus.close()
        await self.open()


@pytest.fixture(
    params=[
        "embedded",
        "embedded-memory",
        "faulty",
        pytest.param("kafka", marks=pytest.mark.needs("kafka")),
    ]
)
async def back(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Back]:
    topics = own_topics(next(NUMBERS))
    opened = Back(
        make=await maker(request, tmp_path / "bus.sqlite", topics),
        lasting=request.param in {"embedded", "kafka"},
        topics=topics,
        **{topic.kind: name for name, topic in topics.items() if topic.dead_letters_of is None},
    )
    await opened.open()
    yield opened
    await opened.bus.close()


@pytest.fixture
def bus(back: Back) -> Bus:
    return back.bus


async def maker(
    request: pytest.FixtureRequest, path: Path, topics: Mapping[str, Topic]
) -> Callable[[Mapping[str, Topic]], Bus]:
    clock = SystemClock()
    if request.param == "embedded":
        return lambda topics: EmbeddedBus(path, clock, topics=topics)
    if request.param == "embedded-memory":
        return lambda topics: EmbeddedBus(None, clock, topics=topics)
    if request.param == "faulty":
        return lambda topics: FaultyBus(EmbeddedBus(None, clock, topics=topics))
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    await apply_topics(bootstrap, topics, [])
    return lambda topics: KafkaBus(KafkaSettings(bootstrap=bootstrap), clock, topics=topics)


def own_topics(number: int) -> Mapping[str, Topic]:
    """The catalogue's topics of each kind under names that no other test has."""
    catalogue = load_topics()
    names = {
        CAMERA_STATE: f"registry.camera-{number}.state.v1",
        DEMAND_EVENTS: f"relay.demand-{number}.events.v1",
        dead_letters(DEMAND_EVENTS): f"relay.demand-{number}.events.v1.dlq",
        ACCESS_UNITS: f"ingest.access-unit-{number}.media.v1",
    }
    letters_of = {DEMAND_EVENTS: names[DEMAND_EVENTS]}
    own = {
        name: replace(
            catalogue[known],
            name=name,
            dead_letters_of=letters_of.get(catalogue[known].dead_letters_of or ""),
        )
        for known, name in names.items()
    }
    return MappingProxyType(own)
