"""What the collector does when the bus takes no commit."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from feedgate_audit.collector import Collector
from feedgate_audit.metrics import AuditMetrics
from feedgate_audit.store import AuditStore
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.ports import EventConsumer, EventLog
from feedgate_kit.bus.record import StoredRecord
from feedgate_kit.database import Database
from feedgate_kit.errors import BusError
from feedgate_kit.stepped_clock import SteppedClock

from .conftest import AUDIT_TOPIC, Records, record_of


class Uncommitting:
    """One topic's log whose first commit is not acknowledged, as after a rebalance."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.opened = 0
        self.refused = asyncio.Event()
        self.committed = asyncio.Event()

    def event_log(self, topic: str) -> "Uncommitting":
        assert topic == AUDIT_TOPIC
        return self

    async def open_consumer(self, group: str) -> "Uncommitting":
        self.opened += 1
        self.failures = 1
        self.consumer: EventConsumer = await self.log.open_consumer(group)
        return self

    async def read(self) -> Sequence[StoredRecord]:
        return await self.consumer.read()

    async def commit(self) -> None:
        if self.failures:
            self.failures -= 1
            self.refused.set()
            raise BusError("committing: partitions were given to another member")
        await self.consumer.commit()
        self.committed.set()

    async def close(self) -> None:
        await self.consumer.close()


async def test_a_commit_that_fails_restarts_nothing_and_loses_nothing(
    bus: EmbeddedBus, database: Database, clock: SteppedClock, records: Records
) -> None:
    log = bus.event_log(AUDIT_TOPIC)
    flaky = Uncommitting(log)
    store = AuditStore(database, clock)
    collector = Collector(flaky, store, AuditMetrics(CollectorRegistry()), AUDIT_TOPIC)  # type: ignore[arg-type]  # what it uses of a bus
    await log.append(record_of(records.view_started("view-1"), clock))
    collecting = asyncio.create_task(collector.run())
    async with asyncio.timeout(10):
        await flaky.refused.wait()
    await log.append(record_of(records.view_usage("view-1", 3), clock))
    async with asyncio.timeout(10):
        await flaky.committed.wait()
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    assert len([entry async for entry in store.entries()]) == 2
    assert flaky.opened == 1
