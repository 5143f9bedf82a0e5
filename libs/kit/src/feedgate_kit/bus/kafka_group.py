"""Membership in a Kafka group whose members hold on to something, as ingest workers do to cameras.

aiokafka knows eager rebalancing only: every member stops, and each partition is its new
member's at once. Where two members must never use the same thing, a partition on its way from
one to another is therefore left to nobody for a round: its old member lets go, joins anew
without it, and only that round gives it away. This is what KIP-429 does in Kafka's own client.
"""

import asyncio
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from feedgate_kit.bus.kafka_connection import bus_errors
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.bus.kafka_standing import Standing
from feedgate_kit.bus.ports import Tenure
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError

SEEK_TIMEOUT_S = 2.0
"""The group hears nothing of this member meanwhile: well below its session timeout."""

LET_GO_WITHIN_S = 15.0
"""Of a member that is closed: a camera that is just being opened takes up to 10 s, with ingest's settings as they come.
To one that takes longer another worker may connect meanwhile; what this one reads, it publishes no more."""

_log = structlog.get_logger(__name__)

_partition_of = lru_cache(65_536)(partition_of)


class HandoverAssignor(StickyPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Sticky, and gives away nothing that another member still holds. State is kept in the class."""

    name = "feedgate-handover"
    held: frozenset[TopicPartition] = frozenset()
    """What this member uses, given to it or not: it is let go of before anybody else has it."""

    @classmethod
    def metadata(cls, topics: Collection[str]) -> ConsumerProtocolMemberMetadata:
        return cls._metadata(topics, sorted(cls.held), cls.generation)

    @classmethod
    def assign(
        cls, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """What each member is given in this round, as the group's leader decides it."""
        wanted = super().assign(cluster, members)
        holders = holders_of({member: cls.parse_member_metadata(told) for member, told in members.items()})
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version, sorted(_by_topic(free_for(member, given.partitions(), holders)).items()), b""
            )
            for member, given in wanted.items()
        }


def handover_assignor() -> type[HandoverAssignor]:
    """An assignor of one consumer's own."""
    return type("OwnHandoverAssignor", (HandoverAssignor,), {})


def holders_of(told: Mapping[str, Any]) -> dict[TopicPartition, str]:
    """Who holds each partition, as the members say; of two that say so, who was given it later."""
    holders: dict[TopicPartition, tuple[int, str]] = {}
    for member, said in told.items():
        for partition in said.partitions:
            known = holders.get(partition)
            if known is None or said.generation > known[0]:
                holders[partition] = (said.generation, member)
    return {partition: member for partition, (_, member) in holders.items()}


def free_for(
    member: str, wanted: Collection[TopicPartition], holders: Mapping[TopicPartition, str]
) -> list[TopicPartition]:
    """Of what a member is to have, that which nobody else holds."""
    return [partition for partition in wanted if holders.get(partition, member) == member]


class GroupMember:
    """One member, and the share it has: tells its holder, and has it let go before others are given it."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        assignor: type[HandoverAssignor],
        standing: Standing,
        tenure: Tenure,
        clock: Clock,
        *,
        partitions: int,
    ) -> None:
        """A member that has not subscribed yet.

        Args:
            consumer: of this member alone.
            assignor: of that consumer alone.
            standing: what the group says of that consumer.
            tenure: who holds what the member is given.
            clock: of this host.
            partitions: of the topic.
        """
        self.generation = 0
        self._partitions = partitions
        self._given: frozenset[int] = frozenset()
        self._consumer = consumer
        self._assignor = assignor
        self._standing = standing
        self._tenure = tenure
        self._clock = clock
        self._handing_over: asyncio.Task[None] | None = None
        self._is_closed = False

    def covers(self, key: str) -> bool:
        """As a share says; true only while the group cannot have forgotten us."""
        return self._standing.counts and _partition_of(key, self._partitions) in self._given

    async def was_given(self, assigned: Collection[TopicPartition]) -> None:
        """A round of the group has ended."""
        if self._is_closed:
            return  # aiokafka ends a round that it is in, however late
        self.generation = self._consumer._coordinator.generation  # noqa: SLF001 - told nowhere else
        self._given = frozenset(each.partition for each in assigned)
        self._assignor.generation = self.generation
        self._assignor.held |= frozenset(assigned)
        self._end_handover()
        self._handing_over = asyncio.create_task(
            self._hand_over(frozenset(assigned)), name="hand over partitions"
        )
        self._handing_over.add_done_callback(self._handed_over)
        await self._go_back(assigned)

    async def close(self) -> None:
        """Have all of it let go of: whoever joins by this member's name next begins with nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._end_handover()
        self._given = frozenset()
        try:
            async with asyncio.timeout(LET_GO_WITHIN_S):
                await self._tenure.holder.hold(self)
        except TimeoutError:
            _log.warning("partitions not let go of in time", within_s=LET_GO_WITHIN_S)

    async def _hand_over(self, assigned: frozenset[TopicPartition]) -> None:
        """Let go of what is no longer ours; where there was anything, ask for the round that gives it away."""
        await self._tenure.holder.hold(self)
        lost = self._assignor.held - assigned
        self._assignor.held = assigned
        if lost:
            _log.info("partitions let go", partitions=len(lost), generation=self.generation)
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - aiokafka has no other way

    def _handed_over(self, handover: asyncio.Task[None]) -> None:
        """One that failed is done in another round: until then others wait for what this member holds."""
        if not handover.cancelled() and (error := handover.exception()) is not None:
            _log.error("partitions not handed over, trying again", error=repr(error))
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001 - as above

    def _end_handover(self) -> None:
        if self._handing_over is not None:
            self._handing_over.cancel()
            self._handing_over = None

    async def _go_back(self, assigned: Collection[TopicPartition]) -> None:
        """Read what was said of late, whoever read it before."""
        since_ms = self._clock.now_us() // 1_000 - round(self._tenure.replay_s * 1_000)
        try:
            with bus_errors("asking for records by their time"):
                async with asyncio.timeout(SEEK_TIMEOUT_S):
                    found = await self._consumer.offsets_for_times(dict.fromkeys(assigned, since_ms))
        except BusError as error:
            _log.warning("reading from where the group committed", cause=str(error))
            return
        for partition, place in found.items():
            if place is not None:  # None: nothing is as young as that
                self._consumer.seek(partition, place.offset)


def _by_topic(partitions: Collection[TopicPartition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for partition in sorted(partitions):
        topics.setdefault(partition.topic, []).append(partition.partition)
    return topics
