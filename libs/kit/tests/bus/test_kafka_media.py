"""What keeps Kafka's media tails going, without a broker."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from feedgate_kit.bus.kafka_connection import LogEdges
from feedgate_kit.bus.kafka_media import KafkaMediaFeed, MediaProducer
from feedgate_kit.bus.kafka_settings import KafkaSettings
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import ACCESS_UNITS, find_topic, load_topics

PARTITION = TopicPartition(ACCESS_UNITS, 0)
Fetched = Mapping[TopicPartition, Sequence[Any]]


class ScriptedConsumer:
    """Takes whatever it is assigned."""

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def seek(self, partition: TopicPartition, offset: int) -> None:
        pass


class ScriptedPoller:
    """Gives one record that cannot be read, then one that can."""

    def __init__(self, consumer: AIOKafkaConsumer, settings: KafkaSettings) -> None:
        del settings
        self.consumer = consumer
        self.closed = False
        self.fetched: list[Fetched] = [{PARTITION: [object()]}, {PARTITION: [picture()]}]

    async def poll(self) -> Fetched:
        if self.fetched:
            return self.fetched.pop(0)
        return await asyncio.Future()

    async def close(self) -> None:
        self.closed = True


class OnePartition:
    """Producer and log edges of a topic with one empty partition."""

    async def partitions(self, topic: str) -> int:
        del topic
        return 1

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)


def picture() -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        ACCESS_UNITS, 0, 1, 0, 0, b"cam/original", b"picture", None, 12, 7, (("content-type", b"x"),)
    )


async def test_a_record_that_cannot_be_read_stops_no_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    async def started(consumer: object, settings: KafkaSettings) -> None:
        del consumer, settings

    monkeypatch.setattr("feedgate_kit.bus.kafka_media.consumer_of", lambda *_, **__: ScriptedConsumer())
    monkeypatch.setattr("feedgate_kit.bus.kafka_media.start", started)
    monkeypatch.setattr("feedgate_kit.bus.kafka_media.Poller", ScriptedPoller)
    feed = KafkaMediaFeed(
        find_topic(load_topics(), ACCESS_UNITS, "media"),
        KafkaSettings(bootstrap="kafka.example:9092"),
        SteppedClock(),
        cast("MediaProducer", OnePartition()),
        cast("LogEdges", OnePartition()),
    )
    tail = await feed.open_tail("cam/original")
    async with asyncio.timeout(5):
        assert (await anext(aiter(tail))).value == b"picture"
    await tail.close()
    await feed.close()
