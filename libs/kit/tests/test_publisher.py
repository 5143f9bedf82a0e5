"""What the publisher does with an event that its topic will never take."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import MetaData, select

from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.events import CAUSE_HEADER, TOPIC_HEADER
from feedgate_kit.bus.ports import EventLog, TooLargeError
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.outbox import Outbox, outbox_tables
from feedgate_kit.owed_stops import OwedStops
from feedgate_kit.publisher import Publisher
from feedgate_kit.topics import CAMERA_STATE, Setting, Topic, audit_events, dead_letters, load_topics

AUDIT = audit_events("registry")
LIMIT_BYTES = 2_000
CLOCK = SystemClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'registry.sqlite'}")
    yield database
    await database.close()


@pytest.fixture
async def outbox(database: Database) -> Outbox:
    metadata = MetaData()
    outbox = Outbox(outbox_tables(metadata), "registry", CLOCK)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return outbox


def topics_that_take(audit_bytes: int, dead_letter_bytes: int) -> Mapping[str, Topic]:
    """The catalogue as a bus has it whose audit topic was made smaller behind our back."""
    shrunk = dict(load_topics())
    for name, size in ((AUDIT, audit_bytes), (dead_letters(AUDIT), dead_letter_bytes)):
        limit = Setting(str(size), "of this test")
        shrunk[name] = replace(
            shrunk[name], config=MappingProxyType({**shrunk[name].config, "max.message.bytes": limit})
        )
    return shrunk


@asynccontextmanager
async def publishing(publisher: Publisher, bus: EmbeddedBus) -> AsyncIterator[asyncio.Task[None]]:
    await bus.start()
    task = asyncio.create_task(publisher.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.close()


async def stage(database: Database, outbox: Outbox, *texts: str) -> None:
    async with database.begin() as connection:
        for text in texts:
            await outbox.stage_event(connection, topic=AUDIT, key="camera", message=StringValue(value=text))


async def first(log: EventLog, count: int) -> list[Record]:
    consumer = await log.open_consumer("of this test")
    records: list[Record] = []
    async with asyncio.timeout(10):
        while len(records) < count:
            records += [stored.record for stored in await consumer.read()]
    return records


async def next_heartbeat(publisher: Publisher, task: asyncio.Task[None]) -> None:
    """The next one of the same run: a run that failed sends no more."""
    publisher.heartbeat_sent.clear()
    beaten = asyncio.create_task(publisher.heartbeat_sent.wait())
    async with asyncio.timeout(10):
        await asyncio.wait({beaten, task}, return_when=asyncio.FIRST_COMPLETED)
    beaten.cancel()
    assert not task.done(), task


def publisher_of(database: Database, outbox: Outbox, bus: EmbeddedBus) -> Publisher:
    return Publisher(
        database=database,
        outbox=outbox,
        bus=bus,
        clock=CLOCK,
        state_topic=CAMERA_STATE,
        owed=OwedStops(database, outbox.source),
        interval_s=0.05,
    )


async def test_an_event_that_its_topic_refuses_is_set_aside_and_stops_nothing(
    database: Database, outbox: Outbox
) -> None:
    bus = EmbeddedBus(None, CLOCK, topics=topics_that_take(LIMIT_BYTES, 10 * LIMIT_BYTES))
    publisher = publisher_of(database, outbox, bus)
    large = "x" * LIMIT_BYTES
    await stage(database, outbox, "before", large, "after")
    async with publishing(publisher, bus) as task:
        sent = await first(bus.event_log(AUDIT), 2)
        assert [StringValue.FromString(record.value).value for record in sent] == ["before", "after"]
        (letter,) = await first(bus.event_log(dead_letters(AUDIT)), 1)
        assert StringValue.FromString(letter.value).value == large
        assert letter.headers[TOPIC_HEADER] == AUDIT
        assert f"allowed: {LIMIT_BYTES}" in letter.headers[CAUSE_HEADER]
        await next_heartbeat(publisher, task)
    async with database.read() as connection:
        assert (await connection.execute(select(outbox.tables.event))).all() == []


async def test_what_the_dead_letters_refuse_too_stays_in_the_outbox_and_stops_nothing(
    database: Database, outbox: Outbox
) -> None:
    bus = EmbeddedBus(None, CLOCK, topics=topics_that_take(LIMIT_BYTES, LIMIT_BYTES))
    publisher = publisher_of(database, outbox, bus)
    large = "x" * LIMIT_BYTES
    await stage(database, outbox, "before", large, "after")
    async with publishing(publisher, bus) as task:
        sent = await first(bus.event_log(AUDIT), 2)
        assert [StringValue.FromString(record.value).value for record in sent] == ["before", "after"]
        await next_heartbeat(publisher, task)
    async with database.read() as connection:
        (left,) = (await connection.execute(select(outbox.tables.event))).all()
    assert StringValue.FromString(left.value).value == large


async def test_a_record_that_its_topic_would_not_take_is_not_staged(
    database: Database, outbox: Outbox
) -> None:
    huge = StringValue(value="x" * load_topics()[CAMERA_STATE].setting("max.message.bytes"))
    with pytest.raises(TooLargeError, match=r"is \d+ bytes on the wire; allowed: 1048576"):
        async with database.begin() as connection:
            await outbox.stage_event(connection, topic=AUDIT, key="camera", message=huge)
    with pytest.raises(TooLargeError, match=r"is \d+ bytes on the wire; allowed: 1048576"):
        async with database.begin() as connection:
            await outbox.stage_state(connection, topic=CAMERA_STATE, key="camera", version=1, message=huge)
    async with database.read() as connection:
        for table in (outbox.tables.event, outbox.tables.state):
            assert (await connection.execute(select(table))).all() == []
