"""What every back promises of events topics."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from feedgate_kit.bus.events import CAUSE_HEADER, POSITION_HEADER, TOPIC_HEADER, handle_events
from feedgate_kit.bus.ports import Bus, ClosedError, EventConsumer, EventLog, Share, Tenure
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import PositionError, UnreadableRecordError
from feedgate_kit.topics import dead_letters
from tests.contract.conftest import Back
from tests.contract.reading import PATIENCE_S, numbers, read_events, record, soon, take


async def append_all(log: EventLog, *wanted: int, key: str = "camera") -> None:
    for number in wanted:
        await log.append(record(key, number))


def of(stored: list[StoredRecord]) -> list[int]:
    return numbers([each.record for each in stored])


async def test_a_new_group_starts_at_the_first_record(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2)
    consumer = await log.open_consumer("ingest")
    assert of(await read_events(consumer, 2)) == [1, 2]
    await append_all(log, 3)
    assert of(await read_events(consumer, 1)) == [3]


async def test_records_of_one_key_come_in_order_among_many_keys(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    keys = [f"camera-{each}" for each in range(24)]
    await asyncio.gather(*(append_all(log, *range(10), key=key) for key in keys))
    consumer = await log.open_consumer("ingest")
    records = [each.record for each in await read_events(consumer, 240)]
    for key in keys:
        assert numbers([seen for seen in records if seen.key == key]) == list(range(10))


async def test_what_was_not_committed_comes_again(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2)
    consumer = await log.open_consumer("ingest")
    assert of(await read_events(consumer, 2)) == [1, 2]
    await consumer.close()
    again = await log.open_consumer("ingest")
    assert of(await read_events(again, 2)) == [1, 2]


async def test_a_group_goes_on_after_what_it_committed(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2)
    consumer = await log.open_consumer("ingest")
    await read_events(consumer, 2)
    await consumer.commit()
    await append_all(log, 3)
    await read_events(consumer, 1)
    await consumer.close()
    again = await log.open_consumer("ingest")
    assert of(await read_events(again, 1)) == [3]


async def test_a_commit_outlives_the_process(back: Back) -> None:
    if not back.lasting:
        return  # kept in memory on purpose
    log = back.bus.event_log(back.events)
    await append_all(log, 1, 2)
    consumer = await log.open_consumer("ingest")
    await read_events(consumer, 2)
    await consumer.commit()
    await append_all(log, 3)
    await back.reopen()
    consumer = await back.bus.event_log(back.events).open_consumer("ingest")
    assert of(await read_events(consumer, 1)) == [3]


async def test_committing_before_anything_was_read_commits_nothing(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1)
    consumer = await log.open_consumer("ingest")
    await consumer.commit()
    await consumer.close()
    again = await log.open_consumer("ingest")
    assert of(await read_events(again, 1)) == [1]


async def test_every_group_gets_everything(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2, 3)
    for group in ("ingest-site-a", "ingest-site-b"):
        consumer = await log.open_consumer(group)
        assert of(await read_events(consumer, 3)) == [1, 2, 3]
        await consumer.commit()


async def test_another_member_takes_over_when_one_leaves(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1)
    first = await log.open_consumer("ingest")
    assert of(await read_events(first, 1)) == [1]
    second = await log.open_consumer("ingest")
    waiting = asyncio.create_task(read_events(second, 1))
    await first.close()
    assert of(await waiting) == [1]


class Keeper:
    """Holds what its member is given; letting go takes as long as the test wants."""

    def __init__(self) -> None:
        self.shares: list[Share] = []
        self.given = asyncio.Event()
        self.may_let_go = asyncio.Event()
        self.may_let_go.set()

    def replaced(self) -> None:
        raise AssertionError("every member has a name of its own")

    async def hold(self, share: Share) -> None:
        self.shares.append(share)
        self.given.set()
        await self.may_let_go.wait()

    def has(self, key: str) -> bool:
        return bool(self.shares) and self.shares[-1].covers(key)

    async def until(self, key: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.has(key):
                self.given.clear()
                await self.given.wait()


async def read_on(consumer: EventConsumer) -> None:
    """As a service does: a member that reads nothing has no part in its group."""
    with suppress(ClosedError):
        while True:
            await consumer.read()


KEYS = [f"camera-{each}" for each in range(40)]


async def test_a_group_of_one_has_every_key(bus: Bus, back: Back) -> None:
    keeper = Keeper()
    consumer = await bus.event_log(back.events).open_consumer("ingest", Tenure(keeper, 6.0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_on(consumer))
        for key in KEYS:
            await keeper.until(key)
        assert keeper.shares[-1].generation >= 1
        await consumer.close()
    assert not any(keeper.has(key) for key in KEYS), "who has left has nothing"


async def test_each_key_is_one_members_at_a_time_and_moves_with_a_higher_generation(
    bus: Bus, back: Back
) -> None:
    first, second = Keeper(), Keeper()
    log = bus.event_log(back.events)
    one = await log.open_consumer("ingest", Tenure(first, 6.0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_on(one))
        for key in KEYS:
            await first.until(key)
        before = first.shares[-1].generation
        other = await log.open_consumer("ingest", Tenure(second, 6.0))
        tasks.create_task(read_on(other))
        await one.close()
        for key in KEYS:
            await second.until(key)
            assert not first.has(key)
        assert second.shares[-1].generation > before
        await other.close()


async def test_who_is_given_a_key_reads_what_was_said_of_late(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2)
    first = await log.open_consumer("ingest", Tenure(Keeper(), 60.0))
    assert of(await read_events(first, 2)) == [1, 2]
    await first.commit()
    await first.close()
    second = await log.open_consumer("ingest", Tenure(Keeper(), 60.0))
    assert of(await read_events(second, 2)) == [1, 2]
    await second.close()


async def test_closing_a_consumer_ends_the_read_under_way(bus: Bus, back: Back) -> None:
    consumer = await bus.event_log(back.events).open_consumer("ingest")
    reading = asyncio.create_task(consumer.read())
    await asyncio.sleep(0)
    await consumer.close()
    await consumer.close()
    with pytest.raises(ClosedError):
        await soon(reading)
    with pytest.raises(ClosedError):
        await soon(consumer.read())


async def test_a_tail_goes_on_after_the_position_it_is_given(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1, 2, 3, key="camera-a")
    await append_all(log, 4, 5, 6, key="camera-b")
    consumer = await log.open_consumer("anyone")
    start = (await read_events(consumer, 1))[0].position
    async with aclosing(log.tail(start)) as tail:
        first = await take(tail, 3)
    async with aclosing(log.tail(first[-1].position)) as tail:
        rest = await take(tail, 2)
        await append_all(log, 7, key="camera-a")
        rest += await take(tail, 1)
    # One record was before the start; the others come once each, in order per key.
    seen = [each.record for each in first + rest]
    assert sorted(numbers(seen)) in ([2, 3, 4, 5, 6, 7], [1, 2, 3, 5, 6, 7])
    for key in ("camera-a", "camera-b"):
        versions = numbers([each for each in seen if each.key == key])
        assert versions == sorted(versions)


async def test_the_end_is_where_a_tail_begins_that_gives_exactly_what_is_appended_since(
    bus: Bus, back: Back
) -> None:
    log = bus.event_log(back.events)
    nowhere_yet = await log.end()
    await append_all(log, 1, 2, key="camera-a")
    await append_all(log, 3, key="camera-b")
    end = await log.end()
    await append_all(log, 4, 5, key="camera-a")
    await append_all(log, 6, key="camera-b")
    async with aclosing(log.tail(end)) as tail:
        since = await take(tail, 3)
        await append_all(log, 7, key="camera-b")
        since += await take(tail, 1)
    assert (sorted(of(since)), of(since)[-1]) == ([4, 5, 6, 7], 7)
    async with aclosing(log.tail(nowhere_yet)) as tail:
        assert sorted(of(await take(tail, 7))) == [1, 2, 3, 4, 5, 6, 7]


async def test_an_end_is_still_one_for_the_next_process(back: Back) -> None:
    if not back.lasting:
        return  # kept in memory on purpose
    log = back.bus.event_log(back.events)
    nowhere_yet = await log.end()
    await back.reopen()
    log = back.bus.event_log(back.events)
    assert await log.end() == nowhere_yet
    await append_all(log, 1)
    end = await log.end()
    await back.reopen()
    log = back.bus.event_log(back.events)
    await append_all(log, 2)
    for position, wanted in ((nowhere_yet, [1, 2]), (end, [2])):
        async with aclosing(log.tail(position)) as tail:
            assert of(await take(tail, len(wanted))) == wanted


async def test_a_tail_without_a_position_gives_new_records_only(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1)
    async with aclosing(log.tail(None)) as tail:
        first = asyncio.create_task(anext(tail))
        for number in range(2, 200):  # the tail says nothing when it has begun, so append until it gives one
            await append_all(log, number)
            done, _ = await asyncio.wait({first}, timeout=0.05)
            if done:
                break
        assert of([await soon(first)])[0] >= 2


async def test_what_is_no_position_is_refused(bus: Bus, back: Back) -> None:
    log = bus.event_log(back.events)
    await append_all(log, 1)
    for position in ("", "yesterday", "-1", "999", "0:999999", "4096:0", "1" * 30, "٣", "' OR 1=1"):
        async with aclosing(log.tail(position)) as tail:
            with pytest.raises(PositionError, match="no position"):
                await soon(anext(tail))
        with pytest.raises(PositionError, match="no position"):
            await soon(log.check(position))
    await soon(log.check(await soon(log.end())))


async def test_what_cannot_be_decoded_goes_to_the_dead_letters(bus: Bus, back: Back) -> None:
    log, letters = bus.event_log(back.events), bus.event_log(dead_letters(back.events))
    handled: list[bytes] = []
    both = asyncio.Event()

    def decode(given: Record) -> bytes:
        if given.value == b"2":
            raise UnreadableRecordError("field 7 has wire type 5")
        return given.value

    async def handle(message: bytes) -> None:
        handled.append(message)
        if message == b"3":
            both.set()

    consuming = asyncio.create_task(
        handle_events(log, "ingest", decode, handle, letters, SystemClock(), topic=back.events)
    )
    await append_all(log, 1, 2, 3)
    await soon(both.wait())
    assert handled == [b"1", b"2", b"3"][::2]
    (letter,) = await read_events(await letters.open_consumer("operations"), 1)
    assert (letter.record.key, letter.record.value) == ("camera", b"2")
    assert letter.record.headers["version"] == "2"
    assert letter.record.headers[CAUSE_HEADER] == "field 7 has wire type 5"
    assert letter.record.headers[TOPIC_HEADER] == back.events
    assert letter.record.headers[POSITION_HEADER]
    consuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consuming
