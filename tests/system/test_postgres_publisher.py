"""The publisher's lock, its wake-up and its turns on a real PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import MetaData, make_url, text

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import SESSION, Database
from feedgate_kit.outbox import Outbox, outbox_tables
from feedgate_kit.owed_stops import OwedStops
from feedgate_kit.publisher import Publisher
from feedgate_kit.publisher_lock import IDLE_TIMEOUT_S, PING_S, LockLostError, publisher_lock
from feedgate_kit.supervise import background
from feedgate_kit.topics import CAMERA_STATE
from tests.servers.detour import PostgresDetour
from tests.system.holder import holder_of

pytestmark = pytest.mark.needs("postgres")

LOCK = "a lock of this test's"
SLACK_S = 0.75
"""For a busy machine, on top of what the settings say."""
VANISHED_S = 15.0
"""Longer than the kernel waits for a sign of life."""
HOLDER = f"""
import asyncio, sys
from feedgate_kit.database import Database
from feedgate_kit.publisher_lock import publisher_lock

async def hold():
    async with publisher_lock(Database(sys.argv[1]), {LOCK!r}):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""
TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_url)
    yield database
    await database.close()


async def seconds_until_held(database: Database) -> float:
    began_s = time.monotonic()
    async with asyncio.timeout(10), publisher_lock(database, LOCK):
        return time.monotonic() - began_s


async def test_a_stopped_holder_loses_the_lock_in_time(
    database: Database, postgres_url: str, tmp_path: Path
) -> None:
    async with holder_of(HOLDER, postgres_url, tmp_path) as holder:
        holder.freeze()
        waited_s = await seconds_until_held(database)
        assert IDLE_TIMEOUT_S - PING_S - SLACK_S < waited_s < IDLE_TIMEOUT_S + SLACK_S


async def test_a_holder_that_pings_keeps_the_lock(database: Database, postgres_url: str) -> None:
    other = Database(postgres_url)
    try:
        async with publisher_lock(database, LOCK) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(IDLE_TIMEOUT_S + 1), publisher_lock(other, LOCK):
                    pass
            assert await session.rows(text("SELECT 1"))
        assert await seconds_until_held(other) < SLACK_S
    finally:
        await other.close()


async def test_a_killed_holder_s_lock_is_free_at_once(
    database: Database, postgres_url: str, tmp_path: Path
) -> None:
    async with holder_of(HOLDER, postgres_url, tmp_path) as holder:
        holder.kill()
        assert await seconds_until_held(database) < SLACK_S


async def test_a_session_that_the_server_ended_answers_nothing_more(
    database: Database, postgres_url: str
) -> None:
    other = Database(postgres_url)
    try:
        async with publisher_lock(database, LOCK) as session:
            async with other.begin() as connection:
                await connection.execute(text(TERMINATE))
            with pytest.raises(LockLostError):
                await session.rows(text("SELECT 1"))
            with pytest.raises(LockLostError):  # and goes on saying so
                await session.rows(text("SELECT 1"))
            assert await seconds_until_held(other) < SLACK_S
    finally:
        await other.close()


@pytest.mark.needs("isolation")
async def test_a_server_that_vanished_in_the_middle_of_a_question_is_not_waited_for(
    database: Database, postgres_url: str
) -> None:
    """The question is delivered: only by asking whether the other end is there can it be known."""
    async with by_detour(postgres_url) as (detour, detoured), publisher_lock(detoured, LOCK) as session:
        asked = asyncio.create_task(session.rows(text("SELECT pg_sleep(60)")))
        await until_asked(database, "SELECT pg_sleep(60)")
        detour.vanish()
        try:
            with pytest.raises(LockLostError):
                async with asyncio.timeout(VANISHED_S):
                    await asked
        finally:
            async with database.begin() as connection:
                await connection.execute(text(TERMINATE))


async def test_an_answer_that_does_not_come_is_not_waited_for_either(postgres_url: str) -> None:
    async with by_detour(postgres_url) as (detour, detoured):
        async with publisher_lock(detoured, LOCK, statement_s=3.0) as session:
            assert await session.rows(text("SELECT true"))
            detour.hold_answer()
            with pytest.raises(LockLostError, match="no answer within 3 s"):
                async with asyncio.timeout(VANISHED_S):
                    await session.rows(text("SELECT 1 WHERE false"))
        detour.release()


@asynccontextmanager
async def by_detour(postgres_url: str) -> AsyncIterator[tuple[PostgresDetour, Database]]:
    """A database, and the way to it."""
    url = make_url(postgres_url)
    assert url.port is not None
    async with PostgresDetour(url.port) as detour:
        database = Database(url.set(port=detour.port).render_as_string(hide_password=False))
        try:
            yield detour, database
        finally:
            await database.close()


async def until_asked(database: Database, question: str) -> None:
    """Until some session is busy with it."""
    busy = text("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = :question")
    async with asyncio.timeout(10):
        while True:
            async with database.read() as connection:
                if (await connection.execute(busy, {"question": question})).all():
                    return
            await asyncio.sleep(0.01)


@dataclass
class Bench:
    """A publisher on PostgreSQL and a bus in memory."""

    database: Database
    outbox: Outbox
    bus: EmbeddedBus
    clock: SystemClock = field(default_factory=SystemClock)

    def publisher(self, interval_s: float) -> Publisher:
        return Publisher(
            database=self.database,
            outbox=self.outbox,
            bus=self.bus,
            clock=self.clock,
            state_topic=CAMERA_STATE,
            owed=OwedStops(self.database, self.outbox.source),
            interval_s=interval_s,
        )

    @asynccontextmanager
    async def running(self, publisher: Publisher) -> AsyncIterator[asyncio.Task[None]]:
        """`publisher.run()`, once it publishes."""
        publisher.heartbeat_sent.clear()
        task = asyncio.create_task(publisher.run())
        try:
            async with asyncio.timeout(10):
                await publisher.heartbeat_sent.wait()
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @staticmethod
    async def all_acknowledged(publisher: Publisher) -> None:
        """Until a heartbeat: there is none while something waits for its acknowledgement."""
        publisher.heartbeat_sent.clear()
        async with asyncio.timeout(10):
            await publisher.heartbeat_sent.wait()

    async def commit(self, key: str, version: int) -> None:
        async with self.database.begin() as connection:
            await self.outbox.stage_state(
                connection, topic=CAMERA_STATE, key=key, version=version, message=StringValue(value=key)
            )

    async def in_log(self, *wanted: str) -> list[str]:
        """The log's records but for heartbeats, `a@2`, once they are at least those wanted."""
        reader = await self.bus.state_log(CAMERA_STATE).open_reader()
        try:
            seen = told(await reader.read_to_end())
            async with asyncio.timeout(10):
                while len(seen) < len(wanted):
                    seen += told(await reader.read())
        finally:
            await reader.close()
        return seen


def told(records: Sequence[Record]) -> list[str]:
    return [
        f"{record.key}@{record.headers[VERSION_HEADER]}" for record in records if record.key != HEARTBEAT_KEY
    ]


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    metadata = MetaData()
    clock = SystemClock()
    outbox = Outbox(outbox_tables(metadata), "registry", clock)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    bus = EmbeddedBus(None, clock)
    await bus.start()
    yield Bench(database, outbox, bus)
    await bus.close()


async def test_a_commit_wakes_the_publisher_at_once(bench: Bench) -> None:
    waits_s = []
    async with bench.running(bench.publisher(interval_s=30.0)):
        for version in range(1, 8):
            await bench.commit("a", version)
            committed_s = time.monotonic()
            await bench.in_log(*[f"a@{earlier}" for earlier in range(1, version + 1)])
            waits_s.append(time.monotonic() - committed_s)
    assert min(waits_s) < 0.1
    assert max(waits_s) < 5.0  # far below the interval: nothing but the notification can have done it


async def test_the_session_that_waits_for_commits_is_not_ended_as_idle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "idle_session_timeout", "500ms")
    await bench.database.engine.dispose()  # for sessions that begin with it
    async with bench.running(bench.publisher(interval_s=30.0)) as publishing:
        ended, _ = await asyncio.wait({publishing}, timeout=2.0)
        assert not ended
        await bench.commit("a", 1)
        assert await bench.in_log("a@1") == ["a@1"]


async def test_of_two_publishers_the_second_goes_on_where_the_first_lost_its_session(bench: Bench) -> None:
    first, second = bench.publisher(0.2), bench.publisher(0.2)
    async with AsyncExitStack() as running:
        task = await running.enter_async_context(bench.running(first))
        await running.enter_async_context(background({"second": second.run}, bench.clock))
        await bench.commit("a", 1)
        await bench.commit("a", 2)
        await bench.in_log("a@1", "a@2")
        await bench.all_acknowledged(first)
        assert not second.heartbeat_sent.is_set()
        async with bench.database.begin() as connection:
            await connection.execute(text(TERMINATE))
        with pytest.raises(ExceptionGroup) as raised:
            await task
        assert raised.group_contains(LockLostError)
        async with asyncio.timeout(5):
            await second.heartbeat_sent.wait()
        await bench.commit("a", 3)
        assert await bench.in_log("a@1", "a@2", "a@3") == ["a@1", "a@2", "a@3"]


async def test_the_run_after_a_lost_session_reads_back_and_heals_before_its_first_heartbeat(
    bench: Bench,
) -> None:
    publisher = bench.publisher(0.2)
    async with bench.running(publisher) as task:
        await bench.commit("a", 1)
        await bench.commit("a", 2)
        await bench.in_log("a@1", "a@2")
        await bench.all_acknowledged(publisher)
        async with bench.database.begin() as connection:
            await connection.execute(text(TERMINATE))
        with pytest.raises(ExceptionGroup) as raised:
            await task
        assert raised.group_contains(LockLostError)
    late = Record("a", StringValue(value="a").SerializeToString(), {VERSION_HEADER: "1"})
    log = bench.bus.state_log(CAMERA_STATE)
    await log.append(late)
    async with bench.running(publisher):
        assert await bench.in_log("a@1", "a@2", "a@1", "a@2") == ["a@1", "a@2", "a@1", "a@2"]
    reader = await log.open_reader()
    records = list(await reader.read_to_end())
    await reader.close()
    since_late = records[records.index(late) + 1 :]
    assert told(since_late[:1]) == ["a@2"]
    assert Heartbeat.FromString(since_late[1].value).sequence == 1
