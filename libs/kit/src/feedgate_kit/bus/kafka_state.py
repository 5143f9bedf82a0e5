"""State topics in Kafka: one partition, read from its first record on."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiokafka import TopicPartition

from feedgate_kit.bus.kafka_connection import (
    LogEdges,
    Poller,
    bus_errors,
    consumer_of,
    record_of,
    start,
)
from feedgate_kit.bus.kafka_control import ControlProducer
from feedgate_kit.bus.kafka_settings import KafkaSettings
from feedgate_kit.bus.record import Record
from feedgate_kit.topics import Topic, TopicError


class KafkaStateLog:
    """The only partition of one compacted topic."""

    def __init__(
        self, topic: Topic, settings: KafkaSettings, control: ControlProducer, edges: LogEdges
    ) -> None:
        self._topic = topic
        self._settings = settings
        self._control = control
        self._edges = edges
        self._readers: set[KafkaStateReader] = set()

    async def append(self, record: Record) -> None:
        await self._control.append(self._topic, record)

    async def open_reader(self) -> "KafkaStateReader":
        """A reader with a connection of its own.

        Raises:
            TopicError: the topic has more than one partition, and so no order to read in.
        """
        name = self._topic.name
        partitions = await self._control.partitions(name)
        if partitions != 1:
            raise TopicError(f"topic `{name}` has {partitions} partitions in Kafka; allowed for state: 1")
        partition = TopicPartition(name, 0)
        consumer = consumer_of(self._settings, auto_offset_reset="earliest")
        await start(consumer, self._settings)
        reader = KafkaStateReader(Poller(consumer, self._settings), partition, self._edges, self._settings)
        self._readers = {reader, *(known for known in self._readers if not known.closed)}
        try:
            consumer.assign([partition])
            with bus_errors(f"opening `{name}`"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    await consumer.seek_to_beginning(partition)
        except BaseException:
            await reader.close()
            raise
        return reader

    async def close(self) -> None:
        await asyncio.gather(*(reader.close() for reader in self._readers))


class KafkaStateReader:
    """Reads one partition in order."""

    def __init__(
        self, poller: Poller, partition: TopicPartition, edges: LogEdges, settings: KafkaSettings
    ) -> None:
        self._poller = poller
        self._partition = partition
        self._edges = edges
        self._settings = settings
        self._unread: list[Record] = []

    @property
    def closed(self) -> bool:
        return self._poller.closed

    async def read(self) -> Sequence[Record]:
        while not self._unread:
            await self._fetch()
        return self._take()

    async def read_to_end(self) -> Sequence[Record]:
        async for _ in self._steps_to_end():
            pass
        return self._take()

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        async for _ in self._steps_to_end():
            yield self._take()
        if self._unread:
            yield self._take()

    async def close(self) -> None:
        await self._poller.close()

    async def _steps_to_end(self) -> AsyncIterator[None]:
        """As the port says. Compaction leaves gaps in the offsets; the position moves over them."""
        end = (await self._edges.ends([self._partition]))[self._partition]
        with bus_errors(f"reading `{self._partition.topic}` to its end"):
            reached = await self._position()
        while reached < end:
            reached = await self._advance(reached)
            yield

    async def _advance(self, before: int) -> int:
        """Fetch until more is there; the position then."""
        with bus_errors(f"reading `{self._partition.topic}` to its end"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                reached = before
                while reached == before:
                    await self._fetch()
                    reached = await self._position()
        return reached

    async def _fetch(self) -> None:
        fetched = await self._poller.poll()
        self._unread += [record_of(record) for record in fetched.get(self._partition, ())]

    async def _position(self) -> int:
        async with asyncio.timeout(self._settings.request_timeout_s):
            return int(await self._poller.consumer.position(self._partition))

    def _take(self) -> list[Record]:
        taken, self._unread = self._unread, []
        return taken
