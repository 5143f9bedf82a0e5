"""What lies in a media topic of Kafka: nothing of an erased stream, and nothing older than its file says."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.bus.ports import MediaFeed, MediaTail
from feedgate_kit.clock import SystemClock
from feedgate_kit.topics import ACCESS_UNITS, Setting, Topic, apply_topics, load_topics
from tests.contract.conftest import NUMBERS
from tests.contract.reading import numbers, record, soon, take
from tests.servers.kafka_reading import whole_topic

pytestmark = pytest.mark.needs("kafka")

RETENTION_S, SEGMENT_S = 2, 1
CHECK_S, DELETION_S = 10, 1
"""As the test's broker is told: `log.retention.check.interval.ms`, `log.segment.delete.delay.ms`."""
SLACK_S = 5
STREAM = "camera/original"


@pytest.fixture
def topic() -> Topic:
    """The catalogue's media topic, of the test's own and kept for an even shorter time."""
    known = load_topics()[ACCESS_UNITS]
    short = {
        "retention.ms": Setting(str(RETENTION_S * 1_000), "the test's"),
        "segment.ms": Setting(str(SEGMENT_S * 1_000), "the test's"),
    }
    name = f"ingest.access-unit-{next(NUMBERS)}.media.v1"
    return replace(known, name=name, config=MappingProxyType({**known.config, **short}))


@pytest.fixture
def topics(topic: Topic) -> Mapping[str, Topic]:
    return {topic.name: topic}


@pytest.fixture
async def feed(kafka_bootstrap: str, topics: Mapping[str, Topic], topic: Topic) -> AsyncIterator[MediaFeed]:
    await apply_topics(kafka_bootstrap, topics, [])
    bus = KafkaBus(KafkaSettings(bootstrap=kafka_bootstrap), SystemClock(), topics=topics)
    await bus.start()
    yield bus.media_feed(topic.name)
    await bus.close()


async def everything(bootstrap: str, topic: Topic) -> list[tuple[str, int]]:
    """Key and number of every record in the topic."""
    return [(each.key.decode(), int(each.value)) for each in await whole_topic(bootstrap, topic)]


def neighbour(topic: Topic) -> str:
    """Another stream of the same partition."""
    place = partition_of(STREAM, topic.partitions)
    candidates = (f"camera-{number}/original" for number in range(1_000))
    return next(each for each in candidates if partition_of(each, topic.partitions) == place)


async def offered(feed: MediaFeed, tail: MediaTail, key: str, *given: int) -> None:
    """Offer these and see each arrive."""
    for number in given:
        assert feed.offer(record(key, number))
    assert numbers(await take(aiter(tail), len(given))) == list(given)


async def test_an_erased_stream_is_not_in_the_topic_any_more(
    kafka_bootstrap: str, topic: Topic, feed: MediaFeed
) -> None:
    topic_is_kept = replace(topic, config={**topic.config, "retention.ms": Setting("600000", "the test's")})
    await apply_topics(kafka_bootstrap, {topic.name: topic_is_kept}, [])
    beside = neighbour(topic)
    tail, other = await feed.open_tail(STREAM), await feed.open_tail(beside)
    await offered(feed, tail, STREAM, 0, 1, 2)
    assert [key for key, _ in await everything(kafka_bootstrap, topic)] == [STREAM] * 3
    erasing = asyncio.create_task(feed.erase(STREAM, spare_s=1.0))
    await offered(feed, other, beside, *range(10))  # on its way while the other is being erased
    await soon(erasing)
    await offered(feed, other, beside, *range(10, 20))
    left = await everything(kafka_bootstrap, topic)
    assert {key for key, _ in left} == {beside}
    assert [number for _, number in left][-10:] == list(range(10, 20))


async def test_nothing_lies_in_the_topic_for_longer_than_its_file_says(
    kafka_bootstrap: str, topic: Topic, feed: MediaFeed
) -> None:
    tail = await feed.open_tail(STREAM)
    await offered(feed, tail, STREAM, 0)
    loop = asyncio.get_running_loop()
    began_s, number = loop.time(), 0
    while (STREAM, 0) in await everything(kafka_bootstrap, topic):
        number += 1  # the stream goes on, so there is always an open segment
        await offered(feed, tail, STREAM, number)
    kept_s = loop.time() - began_s
    assert RETENTION_S - SEGMENT_S <= kept_s <= RETENTION_S + SEGMENT_S + CHECK_S + DELETION_S + SLACK_S
    async with asyncio.timeout(RETENTION_S + SEGMENT_S + CHECK_S + DELETION_S + SLACK_S):
        while await everything(kafka_bootstrap, topic):  # the last one goes too, when the stream is over
            pass
