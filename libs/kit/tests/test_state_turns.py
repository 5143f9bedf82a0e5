"""The order of a publisher's turn, step by step: each test is one mutation of the model."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import Executable, MetaData

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.database import Database
from feedgate_kit.errors import BusError
from feedgate_kit.outbox import Outbox, outbox_tables
from feedgate_kit.publisher_lock import LockLostError, publisher_lock
from feedgate_kit.state_turns import StateTurns
from feedgate_kit.stepped_clock import SteppedClock

TOPIC = "registry.camera.state.v1"


@dataclass
class ListedLog:
    """A state log in a list, whose appends can be told to fail."""

    records: list[Record] = field(default_factory=list)
    failing: bool = False

    async def append(self, record: Record) -> None:
        if self.failing:
            raise BusError("the broker does not answer")
        self.records.append(record)

    async def open_reader(self) -> "ListedReader":
        return ListedReader(self)

    def told(self) -> list[str]:
        """The log as text: `a@2` for version 2 of key a, `~10` for a heartbeat as of second 10."""
        return [
            f"~{Heartbeat.FromString(record.value).as_of.ToMicroseconds() // MICROSECONDS}"
            if record.key == HEARTBEAT_KEY
            else f"{record.key}@{record.headers[VERSION_HEADER]}"
            for record in self.records
        ]


@dataclass
class ListedReader:
    log: ListedLog
    position: int = 0

    async def read(self) -> Sequence[Record]:
        raise AssertionError("a publisher only reads to the end")

    async def read_to_end(self) -> Sequence[Record]:
        new = self.log.records[self.position :]
        self.position = len(self.log.records)
        return new

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        yield await self.read_to_end()

    async def close(self) -> None:
        pass


@dataclass
class Counted:
    """How many records were told as new, and how many as sent again."""

    new: int = 0
    again: int = 0

    def heartbeat_sent(self, as_of_us: int) -> None:
        pass

    def records_sent(self, count: int, *, again: bool) -> None:
        if again:
            self.again += count
        else:
            self.new += count


@dataclass
class Bench:
    """A database with an outbox, a log, and a publisher that is stepped by hand."""

    database: Database
    outbox: Outbox
    clock: SteppedClock
    log: ListedLog = field(default_factory=ListedLog)
    sent: Counted = field(default_factory=Counted)
    owes: bool = False

    async def is_owing(self) -> bool:
        return self.owes

    async def commit(self, key: str, version: int) -> None:
        async with self.database.begin() as connection:
            await self.outbox.stage_state(
                connection,
                topic=TOPIC,
                key=key,
                version=version,
                message=StringValue(value=f"{key}{version}"),
            )

    def turns(self, session: Any) -> StateTurns:
        return StateTurns(
            database=self.database,
            outbox=self.outbox,
            log=self.log,
            clock=self.clock,
            topic=TOPIC,
            session=session,
            is_owing=self.is_owing,
            sent=self.sent,
        )

    def written_late(self, key: str, version: int) -> None:
        """A record of a publisher that is long gone lands at the end of the log."""
        self.log.records.append(Record(key, f"{key}{version}".encode(), {VERSION_HEADER: str(version)}))


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    metadata = MetaData()
    clock = SteppedClock(1_000 * MICROSECONDS)
    outbox = Outbox(outbox_tables(metadata), "registry", clock)
    database = Database(database_url)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Bench(database, outbox, clock)
    await database.close()


async def test_what_was_committed_lies_before_the_heartbeat_that_vouches_for_it(bench: Bench) -> None:
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        assert not await turns.turn()
        await bench.commit("a", 1)
        await bench.commit("a", 2)
        bench.clock.advance(1)
        assert await turns.turn()
        assert not await turns.turn()
    assert bench.log.told() == ["~1000", "a@1", "a@2", "~1001"]


async def test_a_heartbeat_is_stamped_before_the_outbox_is_asked(bench: Bench) -> None:
    """Stamped when it is sent, it would vouch for a commit that came after the question."""

    class SlowSession:
        def __init__(self, session: Any) -> None:
            self.session = session

        async def rows(self, statement: Executable) -> Sequence[Any]:
            answer: Sequence[Any] = await self.session.rows(statement)
            bench.clock.advance(3)
            return answer

    async with publisher_lock(bench.database, "p") as session:
        await bench.turns(SlowSession(session)).turn()
    assert bench.log.told() == ["~1000"]


async def test_no_heartbeat_while_a_row_is_not_acknowledged(bench: Bench) -> None:
    await bench.commit("a", 1)
    bench.log.failing = True
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        for _ in range(3):
            with pytest.raises(ExceptionGroup) as failed:
                await turns.turn()
            assert failed.group_contains(BusError)
        assert bench.log.told() == []
        bench.log.failing = False
        assert await turns.turn()
        assert not await turns.turn()
    assert bench.log.told() == ["a@1", "~1000"]


async def test_no_heartbeat_while_a_stop_is_owed_and_what_waits_is_sent_all_the_same(bench: Bench) -> None:
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        bench.owes = True
        await bench.commit("a", 1)
        assert await turns.turn()
        assert not await turns.turn()
        assert bench.log.told() == ["a@1"]
        bench.owes = False
        assert not await turns.turn()
    assert bench.log.told() == ["a@1", "~1000"]


async def test_a_stop_that_is_written_within_a_turn_is_sent_before_that_turn_s_heartbeat(
    bench: Bench,
) -> None:
    async def is_owing() -> bool:
        await bench.commit("a", 1)  # just before the answer
        return False

    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        turns.is_owing = is_owing
        assert await turns.turn()
    assert bench.log.told() == ["a@1"]


async def test_what_a_dead_predecessor_writes_late_is_healed_before_the_next_heartbeat(bench: Bench) -> None:
    await bench.commit("a", 1)
    await bench.commit("a", 2)
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        await turns.turn()
        await turns.turn()
        bench.written_late("a", 1)
        bench.clock.advance(1)
        await turns.turn()
        await turns.turn()
    assert bench.log.told() == ["a@2", "~1000", "a@1", "a@2", "~1001"]


async def test_a_new_publisher_reads_everything_back_before_its_first_heartbeat(bench: Bench) -> None:
    await bench.commit("a", 2)
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        await turns.turn()
        await turns.turn()
    bench.written_late("a", 1)
    async with publisher_lock(bench.database, "p") as session:
        successor = bench.turns(session)
        await successor.turn()
        await successor.turn()
    assert bench.log.told() == ["a@2", "~1000", "a@1", "a@2", "~1000"]


async def test_a_commit_before_the_read_back_of_its_key_is_not_counted_as_sent_again(bench: Bench) -> None:
    await bench.commit("a", 1)
    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(session)
        await turns.turn()
        await bench.commit("a", 2)  # `a@1` is sent and not yet read back
        await turns.turn()
        assert bench.log.told() == ["a@1", "a@2"]
        assert bench.sent == Counted(new=2, again=0)
        bench.written_late("a", 1)
        await bench.commit("b", 1)
        bench.written_late("b", 0)
        await turns.turn()
    assert sorted(bench.log.told()[-2:]) == ["a@2", "b@1"]
    assert bench.sent == Counted(new=3, again=1)


async def test_a_topic_that_lost_a_key_is_given_it_again(bench: Bench) -> None:
    await bench.commit("a", 1)
    await bench.commit("b", 4)
    async with publisher_lock(bench.database, "p") as session:
        await bench.turns(session).turn()
    bench.log.records.clear()
    async with publisher_lock(bench.database, "p") as session:
        successor = bench.turns(session)
        await successor.turn()
        await successor.turn()
    assert sorted(bench.log.told()[:2]) == ["a@1", "b@4"]
    assert bench.log.told()[2:] == ["~1000"]


async def test_without_the_lock_there_is_no_heartbeat(bench: Bench) -> None:
    class LostSession:
        async def rows(self, statement: Executable) -> Sequence[Any]:
            raise LockLostError("gone")

    with pytest.raises(LockLostError):
        await bench.turns(LostSession()).turn()
    assert bench.log.told() == []


async def test_a_commit_during_a_turn_is_sent_by_the_next_before_it_beats(bench: Bench) -> None:
    class Interrupted:
        def __init__(self, session: Any) -> None:
            self.session = session
            self.done = False

        async def rows(self, statement: Executable) -> Sequence[Any]:
            answer: Sequence[Any] = await self.session.rows(statement)
            if not self.done:
                self.done = True
                bench.clock.advance(1)
                await bench.commit("a", 1)
            return answer

    async with publisher_lock(bench.database, "p") as session:
        turns = bench.turns(Interrupted(session))
        while await turns.turn():
            pass
        while await turns.turn():
            pass
    told = bench.log.told()
    # Whatever the interleaving: the version committed at second 1001 lies before any heartbeat as of 1001.
    assert "a@1" in told
    assert all(beat == "~1000" for beat in told[: told.index("a@1")])
