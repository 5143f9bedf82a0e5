"""What every back promises of state topics."""

import asyncio
from contextlib import suppress

import pytest

from feedgate_kit.bus.ports import Bus, ClosedError, TooLargeError
from feedgate_kit.bus.record import Record
from tests.contract.conftest import Back
from tests.contract.reading import numbers, read_state, record, soon


async def test_a_record_comes_back_as_it_was_given(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    given = [
        Record("camera", bytes(range(256)), {"version": "1", "ce_subject": "cámara"}),
        Record("camera/original", b"", {}),
        Record("~heartbeat", b"\0" * 100_000, {"ce_type": "feedgate.heartbeat.v1.Heartbeat"}),
    ]
    reader = await log.open_reader()
    for each in given:
        await log.append(each)
    assert await read_state(reader, len(given)) == given


async def test_all_readers_see_one_order_whenever_they_join(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    early = await log.open_reader()
    for number in range(40):
        await log.append(record(f"camera-{number % 3}", number))
    late = await log.open_reader()
    assert numbers(await read_state(early, 40)) == list(range(40))
    assert numbers(await soon(late.read_to_end())) == list(range(40))


async def test_appends_at_once_all_land_and_those_awaited_keep_their_order(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)

    async def append_all(key: str) -> None:
        for number in range(20):
            await log.append(record(key, number))

    await asyncio.gather(*(append_all(f"camera-{each}") for each in range(10)))
    records = await soon((await log.open_reader()).read_to_end())
    assert len(records) == 200
    for each in range(10):
        assert numbers([seen for seen in records if seen.key == f"camera-{each}"]) == list(range(20))


async def test_caught_up_means_up_to_an_end_fetched_after_the_call(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader = await log.open_reader()
    assert await soon(reader.read_to_end()) == []
    # Whatever the reader fetched ahead, the record appended since is part of the answer.
    for number in range(50):
        await log.append(record("camera", number))
        assert numbers(await soon(reader.read_to_end())) == [number]
    assert await soon(reader.read_to_end()) == []


async def test_a_long_log_can_be_read_in_pieces_to_the_same_end(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader = await log.open_reader()
    for start in (0, 40):
        for number in range(start, start + 40):
            await log.append(record("camera", number))
        seen = [number async for batch in reader.to_end() for number in numbers(batch)]
        assert seen == list(range(start, start + 40))
    assert [number async for batch in reader.to_end() for number in numbers(batch)] == []


async def test_caught_up_and_reading_on_share_one_place(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader = await log.open_reader()
    await log.append(record("camera", 1))
    assert numbers(await read_state(reader, 1)) == [1]
    await log.append(record("camera", 2))
    assert numbers(await soon(reader.read_to_end())) == [2]
    waiting = asyncio.create_task(read_state(reader, 1))
    await log.append(record("camera", 3))
    assert numbers(await waiting) == [3]


async def test_a_cancelled_read_skips_nothing(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader = await log.open_reader()
    seen: list[int] = []
    for number in range(30):
        reading = asyncio.create_task(reader.read())
        append = asyncio.create_task(log.append(record("camera", number)))
        for _ in range(number):  # cancel at many different moments
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            seen += numbers(await reading)
        await append
    seen += numbers(await soon(reader.read_to_end()))
    assert seen == list(range(30))


async def test_reading_waits_for_as_long_as_nothing_comes(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader = await log.open_reader()
    reading = asyncio.create_task(reader.read())
    done, _ = await asyncio.wait({reading}, timeout=0.3)
    assert not done
    await log.append(record("camera", 1))
    assert numbers(await soon(reading)) == [1]


async def test_what_was_appended_is_there_for_the_next_process(back: Back) -> None:
    if not back.lasting:
        return  # kept in memory on purpose
    await back.bus.state_log(back.state).append(record("camera", 1))
    await back.reopen()
    await back.bus.state_log(back.state).append(record("camera", 2))
    reader = await back.bus.state_log(back.state).open_reader()
    assert numbers(await soon(reader.read_to_end())) == [1, 2]


async def test_a_closed_reader_says_so_also_to_a_read_under_way(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reader, other = await log.open_reader(), await log.open_reader()
    reading = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    await reader.close()
    await reader.close()
    with pytest.raises(ClosedError):
        await soon(reading)
    with pytest.raises(ClosedError):
        await soon(reader.read())
    await log.append(record("camera", 1))
    assert numbers(await read_state(other, 1)) == [1]


async def test_a_closed_bus_ends_its_readers_and_takes_nothing(bus: Bus, back: Back) -> None:
    log = bus.state_log(back.state)
    reading = asyncio.create_task((await log.open_reader()).read())
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(ClosedError):
        await soon(reading)
    with pytest.raises(ClosedError):
        await soon(log.append(record("camera", 1)))


async def test_a_record_too_large_for_its_topic_is_refused_and_what_follows_is_not(
    bus: Bus, back: Back
) -> None:
    log = bus.state_log(back.state)
    limit = back.topics[back.state].setting("max.message.bytes")
    await log.append(record("camera", 1, b"x" * (limit - 400)))
    with pytest.raises(TooLargeError, match="allowed: 1048576"):
        await log.append(record("camera", 2, b"x" * limit))
    await log.append(record("camera", 3))
    reader = await log.open_reader()
    assert numbers(await soon(reader.read_to_end())) == [1, 3]


def test_a_topic_has_one_port(bus: Bus, back: Back) -> None:
    assert bus.state_log(back.state) is bus.state_log(back.state)
    assert bus.event_log(back.events) is bus.event_log(back.events)
    assert bus.media_feed(back.media) is bus.media_feed(back.media)
