"""What the embedded bus does beyond the contract: it forgets on time and shares an fsync."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from feedgate_kit.bus.embedded import CLEANING_S, RECENT_RECORDS, EmbeddedBus
from feedgate_kit.bus.journal import Append, Commit, Journal
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_kit.errors import BusError, PositionError
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    TopicError,
    dead_letters,
    frame_events,
)

DAY_S = 86_400


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=["file", "memory"])
async def bus(
    request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock
) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(tmp_path / "bus.sqlite" if request.param == "file" else None, clock)
    await bus.start()
    yield bus
    await bus.close()


def of(records: Sequence[Record]) -> list[str]:
    return [f"{record.key}={record.value.decode()}" for record in records]


async def test_a_stop_stays_before_the_heartbeat_that_vouched_for_it(
    bus: EmbeddedBus, clock: SteppedClock
) -> None:
    log = bus.state_log(CAMERA_STATE)
    await log.append(Record("camera", b"on"))
    await log.append(Record("camera", b"stopped"))
    await log.append(Record(HEARTBEAT_KEY, b"1"))
    clock.advance(3_590)
    await log.append(Record("camera", b"on again"))
    clock.advance(CLEANING_S + 10)
    await log.append(Record(HEARTBEAT_KEY, b"2"))
    reader = await log.open_reader()
    # `on` went, for the stop that replaced it is an hour old; the stop stays, for what replaced it is not.
    file = await log._writer.ask(lambda journal: journal.read(CAMERA_STATE, 0, 100))
    assert of([record for _, record in file]) == [
        "camera=stopped",
        f"{HEARTBEAT_KEY}=1",
        "camera=on again",
        f"{HEARTBEAT_KEY}=2",
    ]
    seen = of(await reader.read_to_end())
    assert seen.index("camera=stopped") < seen.index(f"{HEARTBEAT_KEY}=1") < seen.index("camera=on again")


async def test_events_are_gone_when_their_retention_says(bus: EmbeddedBus, clock: SteppedClock) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    await log.append(Record("camera", b"1"))
    async with aclosing(log.tail(None)) as tail:
        following = asyncio.ensure_future(anext(tail))
        await asyncio.sleep(0.05)
        await log.append(Record("camera", b"2"))
        position = (await following).position
    clock.advance(300 + CLEANING_S)
    await log.append(Record("camera", b"3"))
    consumer = await log.open_consumer("late")
    assert of([each.record for each in await consumer.read()]) == ["camera=3"]
    # Nothing after 2 expired but 2 itself, so its position still is one; that of 1 is not.
    async with aclosing(log.tail(position)) as tail:
        assert (await anext(tail)).record.value == b"3"
    async with aclosing(log.tail("1")) as tail:
        with pytest.raises(PositionError, match="have expired"):
            await anext(tail)


async def test_the_end_of_a_topic_whose_records_have_all_expired_is_a_position(
    bus: EmbeddedBus, clock: SteppedClock
) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    await log.append(Record("camera", b"1"))
    before = await log.end()
    clock.advance(300 + CLEANING_S)
    await bus.state_log(CAMERA_STATE).append(
        Record("camera", b"on", {"version": "1"})
    )  # cleans, and is placed later
    assert await log.end() == before
    async with aclosing(log.tail(await log.end())) as tail:
        following = asyncio.ensure_future(anext(tail))
        await log.append(Record("camera", b"2"))
        assert (await following).record.value == b"2"


async def test_what_expired_while_nobody_had_the_file_open_is_gone_at_the_next_start(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "bus.sqlite"
    old_topics = [frame_events("gone-since"), dead_letters(DEMAND_EVENTS)]
    bus = EmbeddedBus(path, clock)
    await bus.start()
    for topic in old_topics:
        await bus.event_log(topic).append(Record("camera", b"old"))
    await bus.close()
    clock.advance(60 * DAY_S)
    again = EmbeddedBus(path, clock)
    await again.start()
    await again.close()
    assert topics_in(path) == []


async def test_what_expires_in_a_topic_that_nobody_opens_is_gone_too(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "bus.sqlite"
    bus = EmbeddedBus(path, clock)
    await bus.start()
    await bus.event_log(frame_events("gone-since")).append(Record("camera", b"old"))
    await bus.close()
    again = EmbeddedBus(path, clock)
    await again.start()
    await again.state_log(CAMERA_STATE).append(Record(HEARTBEAT_KEY, b"1"))
    clock.advance(60 * DAY_S)
    await again.state_log(CAMERA_STATE).append(Record(HEARTBEAT_KEY, b"2"))
    await again.close()
    assert topics_in(path) == [CAMERA_STATE]


async def test_records_of_a_topic_that_the_catalogue_lost_stop_no_start(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "bus.sqlite"
    journal = Journal(path)
    journal.open()
    journal.write([Append("relay.lost.events.v1", Record("camera", b"1"))], clock.now_us())
    journal.close()
    bus = EmbeddedBus(path, clock)
    await bus.start()
    await bus.close()
    assert topics_in(path) == ["relay.lost.events.v1"]


def topics_in(path: Path) -> list[str]:
    journal = Journal(path)
    journal.open()
    try:
        return journal.topics()
    finally:
        journal.close()


async def test_only_the_longest_member_of_a_group_is_given_records(bus: EmbeddedBus) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    first, second = await log.open_consumer("ingest"), await log.open_consumer("ingest")
    waiting = asyncio.create_task(second.read())
    await log.append(Record("camera", b"1"))
    assert of([each.record for each in await first.read()]) == ["camera=1"]
    await first.commit()
    await log.append(Record("camera", b"2"))
    assert not waiting.done()
    await first.close()
    assert of([each.record for each in await waiting]) == ["camera=2"]


async def test_a_reader_that_lags_far_behind_reads_from_the_file(bus: EmbeddedBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    reader = await log.open_reader()
    count = RECENT_RECORDS + 700
    await asyncio.gather(*(log.append(Record(f"camera-{number}", b"%d" % number)) for number in range(count)))
    seen: list[Record] = []
    while len(seen) < count:
        seen += await reader.read()
    assert of(seen) == [f"camera-{number}={number}" for number in range(count)]
    assert len(log._shelf._recent) == RECENT_RECORDS


async def test_appends_that_come_together_share_one_commit(
    tmp_path: Path, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    threads: set[threading.Thread] = set()
    write = Journal.write

    def counted(journal: Journal, entries: Sequence[Append | Commit], now_us: int) -> list[int]:
        batches.append(len(entries))
        threads.add(threading.current_thread())
        return write(journal, entries, now_us)

    monkeypatch.setattr(Journal, "write", counted)
    bus = EmbeddedBus(tmp_path / "bus.sqlite", clock)
    await bus.start()
    log = bus.state_log(CAMERA_STATE)
    await asyncio.gather(*(log.append(Record("camera", b"%d" % number)) for number in range(200)))
    await bus.close()
    assert sum(batches) == 200
    assert len(batches) <= 2
    assert threading.main_thread() not in threads


async def test_what_was_accepted_is_written_before_the_bus_is_closed(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "bus.sqlite"
    bus = EmbeddedBus(path, clock)
    await bus.start()
    append = asyncio.create_task(bus.state_log(CAMERA_STATE).append(Record("camera", b"1")))
    await asyncio.sleep(0)
    await bus.close()
    await append
    again = EmbeddedBus(path, clock)
    await again.start()
    reader = await again.state_log(CAMERA_STATE).open_reader()
    assert of(await reader.read_to_end()) == ["camera=1"]
    await again.close()


async def test_an_append_nobody_waits_for_any_more_lands_all_the_same(bus: EmbeddedBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    append = asyncio.create_task(log.append(Record("camera", b"1")))
    await asyncio.sleep(0)
    append.cancel()
    await log.append(Record("camera", b"2"))
    reader = await log.open_reader()
    assert of(await reader.read_to_end()) == ["camera=1", "camera=2"]


async def test_a_failed_write_fails_its_appends_and_no_later_one(bus: EmbeddedBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    with pytest.raises(BusError, match="could not be written"):
        await log.append(Record("camera", "text"))  # type: ignore[arg-type]  # on purpose
    await log.append(Record("camera", b"1"))
    reader = await log.open_reader()
    assert of(await reader.read_to_end()) == ["camera=1"]


async def test_a_cleaning_that_fails_takes_nothing_from_what_is_durable(
    bus: EmbeddedBus, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def failing(_journal: Journal, topic: str, *_: int) -> None:
        tried.append(topic)
        raise sqlite3.OperationalError("disk I/O error")

    log = bus.event_log(DEMAND_EVENTS)
    await log.append(Record("camera", b"1"))
    monkeypatch.setattr(Journal, "forget", failing)
    consumer = await log.open_consumer("follower")
    assert of([each.record for each in await consumer.read()]) == ["camera=1"]
    clock.advance(CLEANING_S)
    await log.append(Record("camera", b"2"))
    assert of([each.record for each in await consumer.read()]) == ["camera=2"]
    await log.append(Record("camera", b"3"))
    assert tried == [DEMAND_EVENTS]  # not again before its time


async def test_a_file_that_cannot_be_read_is_an_expected_error(
    bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_journal: Journal, _topic: str) -> int:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Journal, "end", failing)
    with pytest.raises(BusError, match="malformed"):
        await bus.event_log(DEMAND_EVENTS).open_consumer("follower")


async def test_a_second_bus_on_the_same_file_is_refused(tmp_path: Path, clock: SteppedClock) -> None:
    bus = EmbeddedBus(tmp_path / "bus.sqlite", clock)
    await bus.start()
    other = EmbeddedBus(tmp_path / "bus.sqlite", clock)
    with pytest.raises(BusError, match="locked"):
        await other.start()
    await other.close()
    await bus.close()


async def test_topics_outside_the_catalogue_and_of_another_kind_are_refused(bus: EmbeddedBus) -> None:
    with pytest.raises(TopicError, match="not in the catalogue"):
        bus.event_log("relay.frames.events.v1")
    with pytest.raises(TopicError, match="of kind media; asked for: state"):
        bus.state_log(ACCESS_UNITS)
    await bus.event_log(frame_events("pba")).append(Record("camera/original", b"1"))


async def test_what_is_offered_to_nobody_is_not_kept(bus: EmbeddedBus) -> None:
    feed = bus.media_feed(ACCESS_UNITS)
    assert feed.offer(Record("camera/original", b"unseen"))
    assert feed._rings._rings == {}
    tail = await feed.open_tail("camera/original")
    assert feed.offer(Record("camera/original", b"seen"))
    assert (await anext(aiter(tail))).value == b"seen"
    await tail.close()
    assert feed._rings._rings == {}


async def test_old_pictures_are_not_kept_for_a_tail_that_sleeps(
    bus: EmbeddedBus, clock: SteppedClock
) -> None:
    feed = bus.media_feed(ACCESS_UNITS)
    tail = await feed.open_tail("camera/original")
    feed.offer(Record("camera/original", b"old"))
    clock.advance(6)
    feed.offer(Record("camera/original", b"new"))
    assert (await anext(aiter(tail))).value == b"new"
