"""Events topics in Kafka: consumer groups that commit what was handled, and tails with positions."""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import OffsetOutOfRangeError

from feedgate_kit.bus.kafka_connection import (
    LogEdges,
    Poller,
    bus_errors,
    consumer_of,
    record_of,
    start,
)
from feedgate_kit.bus.kafka_control import ControlProducer
from feedgate_kit.bus.kafka_group import GroupMember, handover_assignor
from feedgate_kit.bus.kafka_settings import KafkaSettings
from feedgate_kit.bus.kafka_standing import Standing
from feedgate_kit.bus.ports import ClosedError, Tenure
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError, PositionError
from feedgate_kit.topics import Topic

_POSITION = re.compile(r"[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18})*")


class KafkaEventLog:
    """One topic whose records expire."""

    def __init__(
        self,
        topic: Topic,
        settings: KafkaSettings,
        clock: Clock,
        control: ControlProducer,
        edges: LogEdges,
    ) -> None:
        self._topic = topic
        self._settings = settings
        self._clock = clock
        self._control = control
        self._edges = edges
        self._readers: set[Poller] = set()

    async def append(self, record: Record) -> None:
        await self._control.append(self._topic, record)

    async def open_consumer(self, group: str, tenure: Tenure | None = None) -> "KafkaConsumer":
        # An unknown topic fails here, not silently later.
        count = await self._control.partitions(self._topic.name)
        member = self._settings.member
        options = {
            "group_id": group,
            "group_instance_id": f"{group}-{member}" if member else None,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": round(self._settings.session_timeout_s * 1_000),
            "heartbeat_interval_ms": round(self._settings.heartbeat_s * 1_000),
        }
        holding: GroupMember | None = None
        if tenure is None:
            consumer = consumer_of(
                self._settings, partition_assignment_strategy=(sticky_assignor(),), **options
            )
            await start(consumer, self._settings)
            standing = Standing(consumer, self._settings, self._clock)
        else:
            assignor = handover_assignor()
            consumer = consumer_of(self._settings, partition_assignment_strategy=(assignor,), **options)
            await start(consumer, self._settings)
            standing = Standing(consumer, self._settings, self._clock, tenure.holder.replaced)
            holding = GroupMember(consumer, assignor, standing, tenure, self._clock, partitions=count)
        opened = KafkaConsumer(Poller(consumer, self._settings), self._settings, standing, holding)
        consumer.subscribe([self._topic.name], listener=opened.partitions)
        self._readers = {opened.poller, *(known for known in self._readers if not known.closed)}
        return opened

    async def end(self) -> str:
        return written(await self._edges.ends(await self._partitions()))

    async def check(self, position: str) -> None:
        await self._place(position, await self._partitions())

    async def tail(self, after: str | None) -> AsyncGenerator[StoredRecord, None]:
        partitions = await self._partitions()
        if after is None:
            places = await self._edges.ends(partitions)
        else:
            places = await self._place(after, partitions)
        consumer = consumer_of(self._settings, auto_offset_reset="none")
        await start(consumer, self._settings)
        poller = Poller(consumer, self._settings)
        self._readers.add(poller)
        try:
            consumer.assign(partitions)
            for partition, offset in places.items():
                consumer.seek(partition, offset)
            while True:
                for partition, fetched in (await self._poll_tail(poller)).items():
                    for record in fetched:
                        places[partition] = record.offset + 1
                        yield StoredRecord(record_of(record), written(places))
        finally:
            self._readers.discard(poller)
            await poller.close()

    async def close(self) -> None:
        await asyncio.gather(*(reader.close() for reader in self._readers))

    async def _partitions(self) -> list[TopicPartition]:
        name = self._topic.name
        return [TopicPartition(name, number) for number in range(await self._control.partitions(name))]

    async def _poll_tail(self, poller: Poller) -> Mapping[TopicPartition, list[ConsumerRecord]]:
        try:
            return await poller.poll()
        except BusError as error:
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise PositionError(
                    f"records of `{self._topic.name}` expired before they were read"
                ) from error
            raise

    async def _place(self, after: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets a position stands for; a partition it does not name is read from its first record."""
        begin = await self._edges.beginnings(partitions)
        end = await self._edges.ends(partitions)
        named = read_position(after, self._topic.name)
        if named is None or not set(named) <= set(partitions):
            raise PositionError(f"`{after}` is no position of `{self._topic.name}`")
        for partition, offset in named.items():
            if offset > end[partition]:
                raise PositionError(f"`{after}` is no position of `{self._topic.name}`")
            if offset < begin[partition]:
                raise PositionError(f"records after position `{after}` have expired")
        return {**begin, **named}


class KafkaConsumer:
    """One member of a consumer group."""

    def __init__(
        self, poller: Poller, settings: KafkaSettings, standing: Standing, holding: GroupMember | None = None
    ) -> None:
        self.poller = poller
        self.partitions = _Partitions(holding)
        self._settings = settings
        self._standing = standing
        self._holding = holding

    async def read(self) -> Sequence[StoredRecord]:
        """As the port says.

        Raises:
            BusError: the topic could not be read, or the group has not counted this member for long.
        """
        while True:
            self._standing.check()
            stored: list[StoredRecord] = []
            for partition, fetched in (await self.poller.poll()).items():
                for record in fetched:
                    place = {partition: record.offset + 1}
                    stored.append(StoredRecord(record_of(record), written(place)))
                self.partitions.read[partition] = fetched[-1].offset + 1
            if stored:
                return stored

    async def commit(self) -> None:
        """As the port says.

        Raises:
            BusError: the broker did not take it, or gave the partitions to another member
                meanwhile; those records come again.
        """
        if not self.partitions.read:
            return
        if self.poller.closed:
            raise ClosedError("consumer is closed")
        with bus_errors("committing"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self.poller.consumer.commit(dict(self.partitions.read))

    async def close(self) -> None:
        self._standing.close()
        try:
            if self._holding is not None:
                await self._holding.close()
        finally:
            await self.poller.close()


class _Partitions(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """How far this member has read the partitions it has now."""

    def __init__(self, holding: GroupMember | None) -> None:
        self.read: dict[TopicPartition, int] = {}
        self._holding = holding

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Nothing is known of them any more: what was not committed comes again."""
        for partition in revoked:
            self.read.pop(partition, None)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """They are read from where the group committed, or from where the tenure says."""
        if self._holding is not None:
            await self._holding.was_given(assigned)


def sticky_assignor() -> type[StickyPartitionAssignor]:
    """An assignor of one consumer's own: aiokafka keeps what the consumer has in the class."""
    return type("OwnStickyAssignor", (StickyPartitionAssignor,), {})


def written(places: Mapping[TopicPartition, int]) -> str:
    """A position: the next offset of each partition, `0:17,1:4`."""
    return ",".join(f"{place.partition}:{offset}" for place, offset in sorted(places.items()))


def read_position(position: str, topic: str) -> dict[TopicPartition, int] | None:
    """What `written` wrote, or None."""
    if not _POSITION.fullmatch(position):
        return None
    pairs = (pair.split(":") for pair in position.split(","))
    return {TopicPartition(topic, int(partition)): int(offset) for partition, offset in pairs}
