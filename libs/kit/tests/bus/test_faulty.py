"""The hostile bus does what it is told, when it is told, the same each time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.faulty import MEDIA_CAPACITY, Fault, FaultyBus, SeededFaults
from feedgate_kit.bus.ports import ClosedError
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.errors import BusError
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, GRANT_STATE

KEY = "camera/original"


@pytest.fixture
async def inner() -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(None, SteppedClock())
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def bus(inner: EmbeddedBus) -> AsyncIterator[FaultyBus]:
    bus = FaultyBus(inner, shared=True)
    await bus.start()
    yield bus
    await bus.close()


def record(number: int, key: str = "camera") -> Record:
    return Record(key, b"%d" % number)


def of(records: Sequence[Record]) -> list[int]:
    return [int(each.value) for each in records]


def of_stored(records: Sequence[StoredRecord]) -> list[int]:
    return of([each.record for each in records])


async def landed(inner: EmbeddedBus, topic: str = CAMERA_STATE) -> list[int]:
    return of(await (await inner.state_log(topic).open_reader()).read_to_end())


async def idle(*tasks: asyncio.Task[object]) -> list[bool]:
    """Whether each is done once nothing moves any more; a memory bus needs only turns of the loop."""
    for _ in range(50):
        await asyncio.sleep(0)
    return [task.done() for task in tasks]


async def test_a_dead_predecessors_write_lands_when_it_is_told_to(bus: FaultyBus, inner: EmbeddedBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    bus.fail_next(CAMERA_STATE, Fault.LATE)
    with pytest.raises(BusError, match="no acknowledgement"):
        await log.append(record(6))
    await log.append(record(7))
    assert await landed(inner) == [7]
    assert bus.late(CAMERA_STATE) == 1
    await bus.land(CAMERA_STATE)
    assert await landed(inner) == [7, 6]
    assert bus.late(CAMERA_STATE) == 0


@pytest.mark.parametrize(
    ("fault", "raises", "lands"),
    [
        (Fault.UNACKNOWLEDGED, True, [1, 2]),
        (Fault.REFUSED, True, [2]),
        (Fault.TWICE, False, [1, 1, 2]),
    ],
)
async def test_each_fault_meets_one_record(
    bus: FaultyBus, inner: EmbeddedBus, fault: Fault, raises: bool, lands: list[int]
) -> None:
    log = bus.state_log(CAMERA_STATE)
    bus.fail_next(CAMERA_STATE, fault)
    append = asyncio.create_task(log.append(record(1)))
    await idle()
    assert isinstance(append.exception(), BusError) == raises
    await log.append(record(2))
    assert await landed(inner) == lands


async def test_a_held_topic_lets_through_as_many_as_are_released(bus: FaultyBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    reader = await log.open_reader()
    await log.append(record(1))
    assert of(await reader.read()) == [1]
    bus.hold(CAMERA_STATE)
    for number in range(2, 7):
        await log.append(record(number))
    reading = asyncio.create_task(reader.read())
    assert await idle(reading) == [False]
    await bus.release(CAMERA_STATE, 2)
    assert of(await reading) == [2, 3]
    to_end = asyncio.create_task(reader.read_to_end())
    assert await idle(to_end) == [False]
    await bus.release(CAMERA_STATE)
    assert of(await to_end) == [4, 5, 6]


async def test_each_reader_of_a_held_topic_lags_by_itself(bus: FaultyBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    bus.hold(CAMERA_STATE)
    await log.append(record(1))
    await log.append(record(2))
    await bus.release(CAMERA_STATE, 1)
    for reader in (await log.open_reader(), await log.open_reader()):
        assert of(await reader.read()) == [1]
    bus.hold(CAMERA_STATE)  # a new hold begins with nothing
    reading = asyncio.create_task(reader.read())
    assert await idle(reading) == [False]
    reading.cancel()


async def test_topics_change_their_order_by_being_held_apart(bus: FaultyBus) -> None:
    cameras, grants = bus.state_log(CAMERA_STATE), bus.state_log(GRANT_STATE)
    from_cameras, from_grants = await cameras.open_reader(), await grants.open_reader()
    bus.hold(CAMERA_STATE)
    await cameras.append(record(1))
    await grants.append(record(2))
    stopped = asyncio.create_task(from_cameras.read())
    assert of(await from_grants.read()) == [2]
    assert await idle(stopped) == [False]
    await bus.release(CAMERA_STATE)
    assert of(await stopped) == [1]


async def test_wrappers_of_one_bus_see_different_weather(bus: FaultyBus, inner: EmbeddedBus) -> None:
    relay = FaultyBus(inner, shared=True)
    lagging = await relay.state_log(CAMERA_STATE).open_reader()
    relay.freeze(CAMERA_STATE)
    await bus.state_log(CAMERA_STATE).append(record(1))
    reading = asyncio.create_task(lagging.read())
    assert of(await (await bus.state_log(CAMERA_STATE).open_reader()).read_to_end()) == [1]
    assert await idle(reading) == [False]
    await relay.close()
    with pytest.raises(ClosedError):
        await reading
    assert await landed(inner) == [1]


async def test_a_frozen_topic_says_nothing_to_readers_and_fails_who_wants_an_answer(
    bus: FaultyBus, inner: EmbeddedBus
) -> None:
    log = bus.state_log(CAMERA_STATE)
    reader = await log.open_reader()
    reading = asyncio.create_task(reader.read())
    await idle()
    bus.freeze(CAMERA_STATE)
    await inner.state_log(CAMERA_STATE).append(record(1))
    assert await idle(reading) == [False]
    other = await inner.state_log(CAMERA_STATE).open_reader()
    with pytest.raises(BusError):
        await log.append(record(2))
    with pytest.raises(BusError):
        await log.open_reader()
    reading.cancel()
    with pytest.raises(BusError):
        await reader.read_to_end()
    await bus.thaw(CAMERA_STATE)
    assert of(await reader.read_to_end()) == [1, 2]
    assert of(await other.read_to_end()) == [1, 2]


async def test_a_frozen_topic_never_says_that_a_reader_has_caught_up(bus: FaultyBus) -> None:
    reader = await bus.state_log(CAMERA_STATE).open_reader()
    bus.freeze(CAMERA_STATE)
    with pytest.raises(BusError):
        await reader.read_to_end()


async def test_a_patient_call_waits_for_the_thaw(bus: FaultyBus, inner: EmbeddedBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    bus.freeze(CAMERA_STATE, patient=True)
    dying, waiting = asyncio.create_task(log.append(record(1))), asyncio.create_task(log.append(record(2)))
    assert await idle(dying, waiting) == [False, False]
    dying.cancel()
    assert await idle(dying, waiting) == [True, False]
    assert bus.late(CAMERA_STATE) == 1
    await bus.thaw(CAMERA_STATE, land=False)
    await waiting
    assert await landed(inner) == [2]
    await bus.land(CAMERA_STATE, 1)
    assert await landed(inner) == [2, 1]


async def test_freezing_while_a_read_to_the_end_is_held_fails_it_and_loses_nothing(bus: FaultyBus) -> None:
    log = bus.state_log(CAMERA_STATE)
    reader = await log.open_reader()
    bus.hold(CAMERA_STATE)
    await log.append(record(1))
    to_end = asyncio.create_task(reader.read_to_end())
    await idle()
    bus.freeze(CAMERA_STATE)
    await bus.release(CAMERA_STATE)
    with pytest.raises(BusError):
        await to_end
    await bus.thaw(CAMERA_STATE)
    assert of(await reader.read_to_end()) == [1]


async def test_consumers_get_again_what_they_did_not_commit(bus: FaultyBus) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    consumer = await log.open_consumer("ingest")
    await log.append(record(1))
    assert of_stored(await consumer.read()) == [1]
    await consumer.commit()
    await log.append(record(2))
    assert of_stored(await consumer.read()) == [2]
    waiting = asyncio.create_task(consumer.read())
    await idle()
    await bus.repeat(DEMAND_EVENTS)
    assert of_stored(await waiting) == [2]
    await log.append(record(3))
    assert of_stored(await consumer.read()) == [3]


async def test_a_commit_never_covers_what_a_hold_keeps_back(bus: FaultyBus) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    consumer = await log.open_consumer("ingest")
    bus.hold(DEMAND_EVENTS)
    await log.append(record(1))
    await log.append(record(2))
    await bus.release(DEMAND_EVENTS, 1)
    assert of_stored(await consumer.read()) == [1]
    await consumer.commit()
    await consumer.close()
    await bus.release(DEMAND_EVENTS)
    again = await log.open_consumer("ingest")
    assert 2 in of_stored(await again.read())


async def test_a_frozen_topic_takes_no_commit(bus: FaultyBus) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    consumer = await log.open_consumer("ingest")
    await log.append(record(1))
    await consumer.read()
    bus.freeze(DEMAND_EVENTS)
    with pytest.raises(BusError):
        await consumer.commit()
    with pytest.raises(BusError):
        await log.open_consumer("ingest")
    with pytest.raises(BusError):
        await log.end()


async def test_a_tail_is_held_too(bus: FaultyBus) -> None:
    log = bus.event_log(DEMAND_EVENTS)
    await log.append(record(1))
    consumer = await log.open_consumer("anyone")
    (first,) = await consumer.read()
    bus.hold(DEMAND_EVENTS)
    await log.append(record(2))
    async with aclosing(log.tail(first.position)) as tail:
        following = asyncio.ensure_future(anext(tail))
        await idle()
        assert not following.done()
        await bus.release(DEMAND_EVENTS, 1)
        assert (await following).record.value == b"2"


async def test_pictures_of_a_held_topic_come_late_and_in_order(bus: FaultyBus) -> None:
    feed = bus.media_feed(ACCESS_UNITS)
    tail = aiter(await feed.open_tail(KEY))
    bus.hold(ACCESS_UNITS)
    assert [feed.offer(record(number, KEY)) for number in range(3)] == [True, True, True]
    following = asyncio.ensure_future(anext(tail))
    assert await idle(following) == [False]
    await bus.release(ACCESS_UNITS, 2)
    assert of([await following, await anext(tail)]) == [0, 1]
    await bus.release(ACCESS_UNITS)
    assert feed.offer(record(3, KEY))
    assert of([await anext(tail), await anext(tail)]) == [2, 3]


async def test_a_frozen_media_topic_pushes_back_when_it_is_full(bus: FaultyBus) -> None:
    feed = bus.media_feed(ACCESS_UNITS)
    tail = aiter(await feed.open_tail(KEY))
    bus.freeze(ACCESS_UNITS)
    with pytest.raises(BusError):
        await feed.open_tail(KEY)
    accepted = [feed.offer(record(number, KEY)) for number in range(MEDIA_CAPACITY + 5)]
    assert accepted == [True] * MEDIA_CAPACITY + [False] * 5
    await bus.thaw(ACCESS_UNITS)
    assert of([await anext(tail) for _ in range(MEDIA_CAPACITY)]) == list(range(MEDIA_CAPACITY))
    assert feed.offer(record(0, KEY))


async def test_pictures_meet_faults_too(bus: FaultyBus) -> None:
    feed = bus.media_feed(ACCESS_UNITS)
    tail = aiter(await feed.open_tail(KEY))
    bus.fail_next(ACCESS_UNITS, Fault.REFUSED, Fault.TWICE, Fault.LATE)
    assert [feed.offer(record(number, KEY)) for number in range(4)] == [False, True, True, True]
    await bus.land(ACCESS_UNITS)
    assert of([await anext(tail) for _ in range(4)]) == [1, 1, 3, 2]


async def test_the_same_seed_makes_the_same_weather(inner: EmbeddedBus) -> None:
    def drawn(seed: int) -> list[Fault | None]:
        faults = SeededFaults(seed)
        return [faults(CAMERA_STATE, record(number)) for number in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == {None, *Fault}
    bus = FaultyBus(inner, seed=1, shared=True)
    for number, fault in enumerate(drawn(1)):
        append = asyncio.create_task(bus.state_log(CAMERA_STATE).append(record(number)))
        await idle()
        assert (append.exception() is None) == (fault in {None, Fault.TWICE})


async def test_a_schedule_of_the_tests_own_decides(inner: EmbeddedBus) -> None:
    def refuse_odd(topic: str, given: Record) -> Fault | None:
        return Fault.REFUSED if topic == CAMERA_STATE and int(given.value) % 2 else None

    bus = FaultyBus(inner, schedule=refuse_odd, shared=True)
    await bus.state_log(CAMERA_STATE).append(record(2))
    with pytest.raises(BusError):
        await bus.state_log(CAMERA_STATE).append(record(3))
    await bus.state_log(GRANT_STATE).append(record(3))
    assert await landed(inner) == [2]
