"""What registry, audit and the agency's topic hold, read from the servers themselves."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from feedgate.audit_chain import verify_chain
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.frame.v1.frame_pb2 import NOTICE_CODE_STOPPED, FrameEvent
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.topics import frame_events
from tests.servers.deployment import AGENCY, Deployment
from tests.servers.kafka import KafkaCluster
from tests.servers.postgres import PostgresServer

AUDITED = (
    "authorisation.given",
    "authorisation.withdrawn",
    "request.approved",
    "ticket.issued",
    "view.started",
    "view.ended",
)
PARTITIONS = 3
"""Of the agency's topic, as its file says."""
READ_TIMEOUT_S = 10.0


class Records:
    """All that was ever written down in this run; `read` adds what is new."""

    def __init__(self, deployment: Deployment, postgres: PostgresServer, cluster: KafkaCluster) -> None:
        self.withdrawn: set[str] = set()
        self.withdrawals_on_record: set[str] = set()
        self.views_started: set[str] = set()
        self.views_ended: set[str] = set()
        self.pictures_by_view: dict[str, int] = {}
        """What the relay says it handed to each view that has ended."""
        self.given_on_record: set[str] = set()
        self.tickets_on_record: Counter[str] = Counter()
        self.agency_told: set[str] = set()
        self.captured_s: dict[tuple[str, int], list[float]] = {}
        self._deployment = deployment
        self._postgres = postgres
        self._cluster = cluster
        self._position = 0
        self._offsets: dict[TopicPartition, int] = {}
        # One difference for the whole run: this process's clocks are never stepped.
        self._wall_ahead_s = time.time() - time.monotonic()

    async def read(self) -> None:
        """Everything written since the last time.

        Raises:
            OSError, asyncpg.PostgresError, KafkaError, TimeoutError: a server does not answer.
        """
        async with asyncio.timeout(READ_TIMEOUT_S):
            await self._read_registry()
            await self._read_audit()
            await self._read_agency()

    def forget_pictures(self) -> None:
        """Those of an earlier window."""
        self.captured_s.clear()

    async def _read_registry(self) -> None:
        async with self._database("registry") as database:
            rows = await database.fetch(
                "SELECT authorisation_id FROM authorisations WHERE withdrawn_at_us IS NOT NULL"
            )
        self.withdrawn = {row["authorisation_id"] for row in rows}

    async def _read_audit(self) -> None:
        async with self._database("audit") as database:
            rows = await database.fetch(
                "SELECT position, event, value FROM audit_entry WHERE position > $1 AND event = ANY($2)"
                " ORDER BY position",
                self._position,
                AUDITED,
            )
        for row in rows:
            self._position = row["position"]
            record = AuditRecord.FromString(row["value"])
            match row["event"]:
                case "view.started":
                    self.views_started.add(record.view_id)
                case "view.ended":
                    self.views_ended.add(record.view_id)
                    self.pictures_by_view[record.view_id] = record.usage.pictures
                case "authorisation.given":
                    self.given_on_record.add(record.authorisation_id)
                case "request.approved":
                    self.given_on_record.add(record.request_id)
                case "ticket.issued":
                    self.tickets_on_record[record.grant_id] += 1
                case _:
                    self.withdrawals_on_record.add(record.authorisation_id)

    async def first_break(self) -> int | None:
        """The position of the first audit entry that does not follow from the one before it; None if all do."""
        url = self._postgres.url(self._deployment.databases["audit"].name)
        return (await verify_chain(url)).broken_at

    @asynccontextmanager
    async def _database(self, service: str) -> AsyncIterator[Any]:
        name = self._deployment.databases[service].name
        connection = await asyncpg.connect(self._postgres.url(name).replace("+asyncpg", ""))
        try:
            yield connection
        finally:
            await connection.close()

    async def _read_agency(self) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._cluster.bootstrap, enable_auto_commit=False)
        try:
            await consumer.start()
            topic = frame_events(AGENCY)
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                consumer.seek(partition, self._offsets.get(partition, 0))
            while any(self._offsets.get(partition, 0) < ends[partition] for partition in partitions):
                for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                    for record in records:
                        self._take(FrameEvent.FromString(record.value))
                    self._offsets[partition] = records[-1].offset + 1
        finally:
            await consumer.stop()

    def _take(self, event: FrameEvent) -> None:
        if event.HasField("notice"):
            if event.notice.code == NOTICE_CODE_STOPPED:
                self.agency_told.add(event.grant_id)
            return
        for picture in event.group_of_pictures.pictures:
            captured_s = picture.received_at_us / MICROSECONDS - self._wall_ahead_s
            self.captured_s.setdefault((event.grant_id, picture.sequence % 2**32), []).append(captured_s)
