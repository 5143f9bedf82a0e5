"""Bounded memory for pictures, whatever those who follow a stream do."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_kit.bus.record import Record
from feedgate_kit.bus.ring import Rings, RingTail
from feedgate_kit.stepped_clock import SteppedClock

KEY = "camera/original"


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def picture(number: int, size: int = 10) -> Record:
    return Record(KEY, b"%0*d" % (size, number))


def held_bytes(rings: Rings) -> int:
    return sum(len(record.value) for ring in rings._rings.values() for _, record in ring._records)


async def read(tail: RingTail, count: int) -> list[int]:
    return [int((await anext(tail)).value) for _ in range(count)]


async def test_what_is_forgotten_is_read_by_nobody_and_its_followers_go_on() -> None:
    rings = Rings(SteppedClock())
    tail, other = rings.open_tail("camera"), rings.open_tail("other")
    for key in ("camera", "other"):
        rings.push(Record(key, b"before"))
    rings.forget("camera")
    rings.forget("unheard of")
    rings.push(Record("camera", b"after"))
    assert [(await anext(tail)).value, (await anext(other)).value] == [b"after", b"before"]


async def test_what_nobody_follows_is_not_kept(clock: SteppedClock) -> None:
    rings = Rings(clock)
    rings.push(picture(1))
    assert held_bytes(rings) == 0


async def test_what_everybody_has_read_is_not_kept(clock: SteppedClock) -> None:
    rings = Rings(clock)
    fast, slow = rings.open_tail(KEY), rings.open_tail(KEY)
    for number in range(3):
        rings.push(picture(number))
    assert await read(fast, 3) == [0, 1, 2]
    assert held_bytes(rings) == 30
    assert await read(slow, 2) == [0, 1]
    assert held_bytes(rings) == 10
    slow.end()
    assert held_bytes(rings) == 0


async def test_a_tail_that_does_not_read_costs_no_more_than_the_limit(clock: SteppedClock) -> None:
    rings = Rings(clock, limit_bytes=50)
    sleeping = rings.open_tail(KEY)
    for number in range(1_000):
        rings.push(picture(number))
        assert held_bytes(rings) <= 50
    assert await read(sleeping, 5) == [995, 996, 997, 998, 999]


async def test_a_picture_larger_than_the_limit_still_passes_alone(clock: SteppedClock) -> None:
    rings = Rings(clock, limit_bytes=50)
    tail = rings.open_tail(KEY)
    rings.push(picture(1))
    rings.push(picture(2, size=80))
    assert await read(tail, 1) == [2]


async def test_a_picture_too_old_to_be_shown_is_skipped_even_if_none_came_since(clock: SteppedClock) -> None:
    rings = Rings(clock, limit_s=5.0)
    tail = rings.open_tail(KEY)
    rings.push(picture(1))
    clock.advance(4.0)
    rings.push(picture(2))
    clock.advance(2.0)
    assert await read(tail, 1) == [2]


async def test_the_end_of_the_last_tail_is_told_and_only_that(clock: SteppedClock) -> None:
    idle: list[str] = []
    rings = Rings(clock, on_idle=idle.append)
    first, second = rings.open_tail(KEY), rings.open_tail(KEY)
    first.end()
    assert idle == []
    second.end()
    second.end()
    assert idle == [KEY]
    third = rings.open_tail(KEY)
    rings.push(picture(1))
    assert await read(third, 1) == [1]


async def test_a_tail_left_by_its_block_is_closed(clock: SteppedClock) -> None:
    rings = Rings(clock)
    async with rings.open_tail(KEY) as tail:
        rings.push(picture(1))
        assert await read(tail, 1) == [1]
    assert [record async for record in tail] == []


@given(st.lists(st.one_of(st.just("push"), st.integers(0, 2)), max_size=80))
def test_every_tail_gets_a_growing_sequence_that_ends_with_the_newest(steps: list[str | int]) -> None:
    async def play() -> None:
        clock = SteppedClock()
        rings = Rings(clock, limit_bytes=40)
        tails = [rings.open_tail(KEY) for _ in range(3)]
        seen: list[list[int]] = [[], [], []]
        pushed = 0
        for step in steps:
            if isinstance(step, str):
                rings.push(picture(pushed))
                pushed += 1
            elif tails[step].next < pushed:
                seen[step] += await read(tails[step], 1)
            assert held_bytes(rings) <= 40
        for tail, numbers in zip(tails, seen, strict=True):
            while tail.next < pushed:
                numbers.extend(await read(tail, 1))
            assert numbers == sorted(set(numbers))
            assert not pushed or numbers[-1] == pushed - 1

    asyncio.run(play())
