"""Records reach the bus behind delivery's back: in order, repeated, bounded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_kit.bus.record import Record
from feedgate_kit.errors import BusError, FeedgateError
from feedgate_kit.topics import audit_events
from feedgate_relay.demand import Demand
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.outgoing import LANE_CAPACITY_RECORDS, Outgoing
from services.relay.tests.scene import STREAM, SteppedClock

TOPIC = audit_events("relay")


class MoodyLog:
    """An event log that fails as it is told."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.failures: Iterator[FeedgateError] = iter(())

    async def append(self, record: Record) -> None:
        await asyncio.sleep(0)
        failure = next(self.failures, None)
        if failure is not None:
            raise failure
        self.taken.append(record)


@asynccontextmanager
async def sending(log: MoodyLog, metrics: RelayMetrics) -> AsyncIterator[Outgoing]:
    async def no_pause(seconds: float) -> None:
        assert seconds > 0
        await asyncio.sleep(0)

    outgoing = Outgoing(lambda topic: log, metrics, pause=no_pause)
    task = asyncio.create_task(outgoing.run())
    yield outgoing
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def metrics() -> RelayMetrics:
    return RelayMetrics(CollectorRegistry())


async def test_records_of_one_key_keep_their_order_through_failures(metrics: RelayMetrics) -> None:
    log = MoodyLog()
    log.failures = iter([BusError("away")] * 5)
    async with sending(log, metrics) as outgoing:
        for number in range(20):
            outgoing.send(TOPIC, Record("view", b"%d" % number), kind="audit")
        await outgoing.drained(5)
    assert [record.value for record in log.taken] == [b"%d" % number for number in range(20)]


async def test_an_acknowledgement_comes_only_from_the_bus(metrics: RelayMetrics) -> None:
    log = MoodyLog()
    log.failures = iter([BusError("away")] * 3)
    async with sending(log, metrics) as outgoing:
        await outgoing.acknowledged(TOPIC, Record("view", b"started"), kind="audit")
        assert [record.value for record in log.taken] == [b"started"]


async def test_what_the_bus_refuses_is_lost_and_counted(metrics: RelayMetrics) -> None:
    log = MoodyLog()
    log.failures = iter([FeedgateError("too large"), FeedgateError("too large")])
    async with sending(log, metrics) as outgoing:
        with pytest.raises(FeedgateError, match="too large"):
            await outgoing.acknowledged(TOPIC, Record("view", b"x"), kind="audit")
        outgoing.send(TOPIC, Record("view", b"y"), kind="notice")
        outgoing.send(TOPIC, Record("view", b"z"), kind="notice")
        await outgoing.drained(5)
    assert [record.value for record in log.taken] == [b"z"]
    assert metrics.registry.get_sample_value("relay_events_lost_total", {"kind": "notice"}) == 1


async def test_the_queue_is_bounded(metrics: RelayMetrics) -> None:
    outgoing = Outgoing(lambda topic: MoodyLog(), metrics)
    for _ in range(LANE_CAPACITY_RECORDS + 5):
        outgoing.send(TOPIC, Record("view", b"x"), kind="audit")
    assert metrics.registry.get_sample_value("relay_events_lost_total", {"kind": "audit"}) == 5
    with pytest.raises(FeedgateError, match="too many"):
        await outgoing.acknowledged(TOPIC, Record("view", b"x"), kind="audit")


async def test_demand_is_repeated_and_released_once() -> None:
    log, wanted = MoodyLog(), {STREAM}
    demand = Demand(log, SteppedClock(), "relay-1", lambda: set(wanted))

    async def told() -> list[tuple[str, bool]]:
        log.taken.clear()
        await demand.tell()
        said = [StreamDemanded.FromString(record.value) for record in log.taken]
        assert {record.key for record in log.taken} <= {STREAM.partition("/")[0]}
        assert {one.relay_id for one in said} <= {"relay-1"}
        return [(one.stream, one.release) for one in said]

    assert await told() == [(STREAM, False)]
    assert await told() == [(STREAM, False)]
    wanted.clear()
    assert await told() == [(STREAM, True)]
    assert await told() == []
    wanted.add(STREAM)
    log.failures = iter([BusError("away")])
    assert await told() == []
    assert await told() == [(STREAM, False)]
