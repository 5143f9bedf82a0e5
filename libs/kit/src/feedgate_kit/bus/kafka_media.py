"""Media topics in Kafka: a short queue and a pump for each stream, one consumer for all that is followed."""

import asyncio
from collections import Counter, deque
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from feedgate_kit.bus.kafka_connection import (
    LogEdges,
    Poller,
    bus_errors,
    consumer_of,
    headers_of,
    reaching,
    record_of,
    start,
)
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.bus.kafka_producer import stop_producer
from feedgate_kit.bus.kafka_settings import MAX_MESSAGE_BYTES, KafkaSettings
from feedgate_kit.bus.kafka_topics import open_admin
from feedgate_kit.bus.ports import ClosedError
from feedgate_kit.bus.record import Record
from feedgate_kit.bus.record_size import fits, size_bytes
from feedgate_kit.bus.ring import Rings, RingTail
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError
from feedgate_kit.supervise import supervise
from feedgate_kit.topics import Topic

BATCH_BYTES = 1024 * 1024
"""Pictures of several streams of one partition that may share a batch."""
RETRY_S = 0.5

_log = structlog.get_logger()


class MediaProducer:
    """One connection for the pictures of all streams: no lingering, no retry past a short time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        producer = AIOKafkaProducer(
            **reaching(self._settings) | {"client_id": f"{self._settings.client_id}-media"},
            acks=1,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
            request_timeout_ms=round(self._settings.media_timeout_s * 1_000),
        )
        await start(producer, self._settings)
        self._producer = producer

    async def partitions(self, topic: str) -> int:
        if topic not in self._partitions:
            with bus_errors(f"asking about `{topic}`"):
                async with asyncio.timeout(self._settings.request_timeout_s):
                    self._partitions[topic] = len(await self._open().partitions_for(topic))
        return self._partitions[topic]

    async def send(self, topic: str, record: Record, partition: int) -> None:
        """Return when the partition's leader has the record.

        Raises:
            BusError: it was not taken in time; it may still land.
        """
        with bus_errors(f"sending to `{topic}`"):
            async with asyncio.timeout(self._settings.media_timeout_s + 1):
                acknowledged = await self._open().send(
                    topic, record.value, record.key.encode(), partition=partition, headers=headers_of(record)
                )
                await acknowledged

    async def close(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await stop_producer(producer, self._settings.media_timeout_s)

    def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise ClosedError("bus is not open")
        return self._producer


class KafkaMediaFeed:
    """One media topic."""

    def __init__(
        self, topic: Topic, settings: KafkaSettings, clock: Clock, producer: MediaProducer, edges: LogEdges
    ) -> None:
        self._topic = topic
        self._settings = settings
        self._producer = producer
        self._edges = edges
        self._outboxes: dict[str, _Outbox] = {}
        self._followed = _Followed(topic, settings, clock, producer, edges)
        self._closed = False

    def offer(self, record: Record) -> bool:
        """False also once after queued pictures were lost, so that the sender begins anew at a keyframe."""
        if self._closed or not fits(record, self._topic):
            return False
        outbox = self._outboxes.get(record.key)
        if outbox is None:
            outbox = self._outboxes[record.key] = _Outbox(
                record.key, self._topic, self._settings, self._producer
            )
        return outbox.put(record)

    async def open_tail(self, key: str) -> RingTail:
        if self._closed:
            raise ClosedError("bus is closed")
        return await self._followed.open_tail(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        """As the port says. A partition is shared: all that lies in it before this moment goes."""
        if self._closed:
            raise ClosedError("bus is closed")
        if key in self._outboxes:
            await self._outboxes[key].discard()
        name = self._topic.name
        partition = TopicPartition(name, partition_of(key, await self._producer.partitions(name)))
        end = (await self._edges.ends([partition]))[partition]
        await asyncio.sleep(spare_s)
        timeout_s = self._settings.request_timeout_s
        with bus_errors(f"erasing in `{name}`"):
            async with (
                asyncio.timeout(timeout_s),
                open_admin(self._settings.bootstrap, timeout_s, self._settings.security) as admin,
            ):
                await admin.delete_records({partition: RecordsToDelete(before_offset=end)})

    async def close(self) -> None:
        """Send what was accepted, for as long as one picture may take; end every tail."""
        self._closed = True
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes.values()))
        await self._followed.close()


class _Outbox:
    """The pictures of one stream on their way to Kafka, one at a time, so that none overtakes another."""

    def __init__(self, key: str, topic: Topic, settings: KafkaSettings, producer: MediaProducer) -> None:
        self._key = key
        self._topic = topic
        self._settings = settings
        self._producer = producer
        self._waiting: deque[Record] = deque()
        self._bytes = 0
        self._lost = False
        self._partition: int | None = None
        self._pump: asyncio.Task[None] | None = None

    def put(self, record: Record) -> bool:
        size = size_bytes(record)
        if self._lost:
            self._lost = False
            return False
        if len(self._waiting) >= self._settings.queue_units:
            return False
        if self._waiting and self._bytes + size > self._settings.queue_bytes:
            return False
        self._waiting.append(record)
        self._bytes += size
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._send_waiting(), name=f"media of {self._key}")
        return True

    async def discard(self) -> None:
        """Send nothing that waits, and return when nothing is on its way any more."""
        on_its_way = 0 if self._pump is None or self._pump.done() else 1
        while len(self._waiting) > on_its_way:
            self._bytes -= size_bytes(self._waiting.pop())
        if self._pump is not None:
            await asyncio.wait({self._pump})

    async def close(self) -> None:
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=self._settings.media_timeout_s)
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _send_waiting(self) -> None:
        while self._waiting:
            record = self._waiting[0]
            try:
                if self._partition is None:
                    count = await self._producer.partitions(self._topic.name)
                    self._partition = partition_of(self._key, count)
                await self._producer.send(self._topic.name, record, self._partition)
            except BusError as error:
                _log.warning("pictures lost before the bus", pictures=len(self._waiting), error=str(error))
                self._waiting.clear()
                self._bytes = 0
                self._lost = True
            else:
                self._waiting.popleft()
                self._bytes -= size_bytes(record)


class _Followed:
    """The partitions somebody here follows, read from their ends by one consumer."""

    def __init__(
        self, topic: Topic, settings: KafkaSettings, clock: Clock, producer: MediaProducer, edges: LogEdges
    ) -> None:
        self._topic = topic
        self._settings = settings
        self._clock = clock
        self._producer = producer
        self._edges = edges
        self._rings = Rings(clock, on_idle=self._forget)
        self._keys: Counter[TopicPartition] = Counter()
        self._places: dict[TopicPartition, int] = {}
        self._partition_of: dict[str, TopicPartition] = {}
        self._poller: Poller | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def open_tail(self, key: str) -> RingTail:
        async with self._opening:
            poller = await self._start()
            partition = TopicPartition(
                self._topic.name, partition_of(key, await self._producer.partitions(self._topic.name))
            )
            if partition not in self._places:
                place = (await self._edges.ends([partition]))[partition]
                self._places[partition] = place
                self._assign(poller.consumer)
            if key not in self._partition_of:
                self._partition_of[key] = partition
                self._keys[partition] += 1
            return self._rings.open_tail(key)

    async def close(self) -> None:
        self._rings.close()
        if self._poller is not None:
            await self._poller.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _start(self) -> Poller:
        if self._poller is None:
            consumer = consumer_of(self._settings, auto_offset_reset="latest")
            await start(consumer, self._settings)
            self._poller = Poller(consumer, self._settings)
            # Supervised: were it to end by whatever one record brings, every tail would stand still.
            reading = supervise("media tails", partial(self._read, self._poller), self._clock)
            self._reading = asyncio.create_task(reading, name="media tails")
        return self._poller

    async def _read(self, poller: Poller) -> None:
        while not poller.closed:
            try:
                fetched = await poller.poll()
            except ClosedError:
                return
            except BusError as error:
                _log.warning("media could not be read", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            for partition, records in fetched.items():
                if partition in self._places:
                    self._places[partition] = records[-1].offset + 1
                    for record in records:
                        self._rings.push(record_of(record))

    def _forget(self, key: str) -> None:
        """Nobody follows `key` any more."""
        partition = self._partition_of.pop(key)
        self._keys[partition] -= 1
        if not self._keys[partition]:
            del self._keys[partition]
            del self._places[partition]
            if self._poller is not None and not self._poller.closed:
                self._assign(self._poller.consumer)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Read these partitions, each on from where it was. Nothing is awaited, so nothing is missed."""
        consumer.assign(list(self._places))
        for partition, offset in self._places.items():
            consumer.seek(partition, offset)
