"""Stops that a real database does not take, and who knows of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select, text

from feedgate_kit import owed_stops
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.owed_stops import TURNS_EACH, OwedStops, StopOwedError, TooMuchOwedError
from feedgate_kit.publisher_lock import publisher_lock
from feedgate_kit.supervise import background
from tests.servers.no_room import no_room

METADATA = MetaData()
STOPS = Table("stops", METADATA, Column("number", Integer, primary_key=True))
WITHIN_S = 10.0
TELLING = (
    "FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass
class Bench:
    """One process's stops, and the database in which another one asks."""

    database: Database
    owed: OwedStops

    async def stop(self, number: int = 1) -> int:
        """Write a row, if it is not there."""
        async with self.database.begin() as connection:
            if await connection.scalar(select(STOPS.c.number).where(STOPS.c.number == number)) is None:
                await connection.execute(insert(STOPS).values(number=number))
        return number

    async def written(self) -> int:
        async with self.database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(STOPS)) or 0

    async def telling(self, what: str = "pid") -> set[int]:
        """The sessions in which this process tells others that it owes."""
        async with self.database.read() as connection:
            return set((await connection.scalars(text(f"SELECT {what} {TELLING}"))).all())

    async def is_owed(self, by: OwedStops | None = None) -> bool:
        async with publisher_lock(self.database, "of this test's") as session:
            return await (by or self.owed).is_owing(session)

    def taking_nothing(self) -> AbstractAsyncContextManager[None]:
        return no_room(self.database, "stops")

    async def until_owed(self, is_owed: bool, by: OwedStops) -> None:
        async with asyncio.timeout(WITHIN_S):
            while await self.is_owed(by) is not is_owed:  # noqa: ASYNC110 - nobody tells: that is the point
                await asyncio.sleep(0)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    database = Database(database_url)
    async with database.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield Bench(database, OwedStops(database, "registry", again_s=0.02))
    await database.close()


def at_work(owed: OwedStops) -> Mapping[str, Callable[[], Awaitable[None]]]:
    return {"owed stops": owed.make_good, "owed stops told": owed.tell}


ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.needs("postgres"))], indirect=True
)


async def test_a_stop_that_is_taken_is_owed_by_nobody(bench: Bench) -> None:
    assert await bench.owed.carry_out("ana", "a", bench.stop) == 1
    assert not await bench.is_owed()
    assert await bench.written() == 1


async def test_a_stop_that_the_database_does_not_take_is_owed_until_it_is_on_record(bench: Bench) -> None:
    async with background(at_work(bench.owed), SystemClock()):
        async with bench.taking_nothing():
            with pytest.raises(StopOwedError, match="tried again until it does"):
                await bench.owed.carry_out("ana", "a", bench.stop)
            with pytest.raises(StopOwedError):
                await bench.owed.carry_out("ana", "b", partial(bench.stop, 2))
            assert await bench.is_owed()
            assert bench.owed.count == 2
        await bench.until_owed(False, bench.owed)
    assert await bench.written() == 2


async def test_the_same_stop_asked_for_again_makes_it_good(bench: Bench) -> None:
    async with bench.taking_nothing():
        with pytest.raises(StopOwedError):
            await bench.owed.carry_out("ana", "a", bench.stop)
    await bench.owed.carry_out("ana", "a", bench.stop)
    assert not await bench.is_owed()


async def test_a_stop_that_is_refused_is_not_owed_neither_at_once_nor_later(bench: Bench) -> None:
    class EndedError(FeedgateError):
        pass

    async def refused() -> None:
        raise EndedError("it has ended")

    with pytest.raises(EndedError):
        await bench.owed.carry_out("ana", "a", refused)
    assert not await bench.is_owed()

    tries = 0

    async def refused_later() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise TimeoutError
        raise EndedError("it has ended")

    async with background(at_work(bench.owed), SystemClock()):
        with pytest.raises(StopOwedError):
            await bench.owed.carry_out("ana", "a", refused_later)
        await bench.until_owed(False, bench.owed)


async def test_a_stop_that_is_neither_taken_nor_refused_is_owed_at_once_and_tried_again(bench: Bench) -> None:
    hurried = OwedStops(bench.database, "registry", patience_s=0.02, again_s=0.01)
    goes_on = asyncio.Event()
    stubborn = asyncio.Event()

    async def stop() -> int:
        try:
            await goes_on.wait()
        finally:
            if not goes_on.is_set():  # told to end, and does not
                await stubborn.wait()
        return await bench.stop()

    with pytest.raises(StopOwedError):
        await hurried.carry_out("ana", "a", stop)
    assert await bench.is_owed(hurried)
    goes_on.set()
    async with background(at_work(hurried), SystemClock()):
        await bench.until_owed(False, hurried)
    assert await bench.written() == 1
    stubborn.set()


async def test_a_stop_that_fails_for_whatever_reason_is_owed(bench: Bench) -> None:
    tries = 0

    async def stop() -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("unable to perform operation on a closed transport")
        return await bench.stop()

    with pytest.raises(StopOwedError):
        await bench.owed.carry_out("ana", "a", stop)
    async with background(at_work(bench.owed), SystemClock()):
        await bench.until_owed(False, bench.owed)
    assert await bench.written() == 1


async def test_of_one_person_no_more_is_owed_than_can_be_kept_and_they_are_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed_stops, "MOST_OWED_EACH", 3)

    async def unwritten() -> None:
        raise ConnectionError

    for number in range(3):
        with pytest.raises(StopOwedError):
            await bench.owed.carry_out("ana", str(number), unwritten)
    with pytest.raises(TooMuchOwedError, match="3 stops are owed to this person already"):
        await bench.owed.carry_out("ana", "one more", unwritten)
    with pytest.raises(StopOwedError):
        await bench.owed.carry_out("bob", "one", unwritten)
    assert bench.owed.count == 3 + 1


async def test_who_sends_many_at_once_waits_for_their_own_and_nobody_for_them(bench: Bench) -> None:
    goes_on = asyncio.Event()
    under_way: Counter[str] = Counter()

    async def stop(person: str) -> None:
        under_way[person] += 1
        await goes_on.wait()

    calls = [
        asyncio.create_task(bench.owed.carry_out(person, str(number), partial(stop, person)))
        for person, number in [*(("ana", number) for number in range(3 * TURNS_EACH)), ("bob", 1)]
    ]
    async with asyncio.timeout(WITHIN_S):
        while not under_way["bob"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    assert under_way["ana"] == TURNS_EACH
    goes_on.set()
    await asyncio.gather(*calls)
    assert under_way["ana"] == 3 * TURNS_EACH


@ON_POSTGRESQL
async def test_another_process_sees_what_is_owed_and_its_other_services_do_not(bench: Bench) -> None:
    beside = OwedStops(bench.database, "registry")
    elsewhere = OwedStops(bench.database, "access-policy")
    async with background(at_work(bench.owed), SystemClock()):
        async with bench.taking_nothing():
            with pytest.raises(StopOwedError):
                await bench.owed.carry_out("ana", "a", bench.stop)
            await bench.until_owed(True, beside)
            assert not await bench.is_owed(elsewhere)
            ended = await bench.telling()
            await bench.telling("pg_terminate_backend(pid)")
            async with asyncio.timeout(WITHIN_S):
                while not await bench.telling() - ended:
                    pass
            assert await bench.is_owed(beside)
        await bench.until_owed(False, beside)


@ON_POSTGRESQL
async def test_others_are_told_although_every_connection_of_the_pool_is_taken(bench: Bench) -> None:
    everybody = bench.database.engine.pool.size() + 10  # type: ignore[attr-defined]  # and SQLAlchemy's overflow
    other = Database(bench.database.engine.url.render_as_string(hide_password=False))
    beside = OwedStops(other, "registry")
    hurried = OwedStops(bench.database, "registry", patience_s=0.02, again_s=0.02)
    async with AsyncExitStack() as taken, background(at_work(hurried), SystemClock()):
        for _ in range(everybody):
            await taken.enter_async_context(bench.database.engine.connect())
        with pytest.raises(StopOwedError):
            await hurried.carry_out("ana", "a", bench.stop)
        await Bench(other, beside).until_owed(True, beside)
    await other.close()
