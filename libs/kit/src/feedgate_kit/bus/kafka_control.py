"""The producer of state and events: idempotent, acknowledged by all replicas, awaited."""

import asyncio
from collections import defaultdict

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner

from feedgate_kit.bus.kafka_connection import bus_errors, headers_of, reaching, start
from feedgate_kit.bus.kafka_producer import stop_producer
from feedgate_kit.bus.kafka_settings import MAX_MESSAGE_BYTES, KafkaSettings
from feedgate_kit.bus.ports import ClosedError
from feedgate_kit.bus.record import Record
from feedgate_kit.bus.record_size import check_size
from feedgate_kit.errors import BusError
from feedgate_kit.topics import Topic

BATCH_BYTES = 256 * 1024
_NOT_REFUSED = (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, UnknownTopicOrPartitionError)
"""Errors after which the producer is as good as before."""


class ControlProducer:
    """Appends records one by one, in the order it is called.

    An idempotent producer whose batch was refused has spent its sequence
    number: everything after it would be refused too. So a refusal replaces the
    producer; silence does not, for what it still holds may land.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._open = False
        self._replacing = asyncio.Lock()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        self._open = True
        await self._current()

    async def append(self, topic: Topic, record: Record) -> None:
        """Return when all replicas in sync have the record.

        Raises:
            TooLargeError: the topic does not take a record of this size.
            BusError: no acknowledgement in time; the record may be there, or land later.
        """
        check_size(record, topic)
        producer = None
        try:
            with bus_errors(f"appending to `{topic.name}`"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    async with self._turns[topic.name]:
                        producer = await self._current()
                        acknowledged = await producer.send(
                            topic.name,
                            record.value,
                            record.key.encode(),
                            partition=await self._place(producer, topic.name, record.key),
                            headers=headers_of(record),
                        )
                    await acknowledged
        except BusError as error:
            cause = error.__cause__
            if producer is not None and isinstance(cause, KafkaError) and not isinstance(cause, _NOT_REFUSED):
                await self._replace(producer)
            raise

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has in Kafka."""
        with bus_errors(f"asking about `{topic}`"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                return await self._count(await self._current(), topic)

    async def close(self) -> None:
        self._open = False
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stop_producer(producer, self._settings.request_timeout_s)

    async def _current(self) -> AIOKafkaProducer:
        async with self._replacing:
            if not self._open:
                raise ClosedError("bus is not open")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **reaching(self._settings),
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=MAX_MESSAGE_BYTES,
                    request_timeout_ms=round(self._settings.request_timeout_s * 1_000),
                )
                await start(producer, self._settings)
                self._producer = producer
            return self._producer

    async def _replace(self, refused: AIOKafkaProducer) -> None:
        if self._producer is refused:
            self._producer = None
            await stop_producer(refused, 0)

    async def _place(self, producer: AIOKafkaProducer, topic: str, key: str) -> int:
        return partition_of(key, await self._count(producer, topic))

    async def _count(self, producer: AIOKafkaProducer, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = len(await producer.partitions_for(topic))
        return self._partitions[topic]


def partition_of(key: str, partitions: int) -> int:
    """Where any Kafka client puts records of this key."""
    everywhere = list(range(partitions))
    return int(DefaultPartitioner()(key.encode(), everywhere, everywhere))
