"""Of two relays with one name, one ends."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.supervise import background
from feedgate_relay.name import ANSWERED_WITHIN_US, Name, NameTakenError
from feedgate_relay.redemption import Redemptions
from services.relay.tests.scene import SteppedClock

NOW_US = 1_800_000_000 * MICROSECONDS


async def is_taken(name: Name) -> bool:
    waiting = asyncio.ensure_future(name.until_taken())
    await asyncio.wait({waiting}, timeout=0.01)
    taken = waiting.done()
    if taken:
        with pytest.raises(
            NameTakenError, match=r"^FEEDGATE_RELAY_RELAY_ID: another relay is `relay-1` already; allowed: "
        ):
            await waiting
    waiting.cancel()
    return taken


def meet(first: Name, second: Name, *, late_us: int = 0) -> None:
    """`first` says its name and hears itself; then `second` does, of which the first hears so much later."""
    for name in (first, second):
        name.hear(first.claim(NOW_US), NOW_US)
    said = second.claim(NOW_US + 1)
    answer = first.hear(said, NOW_US + 1 + late_us)
    second.hear(said, NOW_US + 1)
    if answer is not None:
        for name in (first, second):
            name.hear(answer, NOW_US + 2)


async def test_what_a_relay_says_to_itself_takes_nobodys_name() -> None:
    first, second = Name("relay-1"), Name("relay-1")
    for name in (first, second):
        name.hear(first.claim(NOW_US), NOW_US)
        name.hear(second.claim(NOW_US), NOW_US)
    assert second.hear(first.mark(NOW_US), NOW_US) is None


async def test_who_said_it_first_stays() -> None:
    first, second = Name("relay-1"), Name("relay-1")
    meet(first, second)
    assert [await is_taken(name) for name in (first, second)] == [False, True]


async def test_of_two_that_answer_each_other_one_stays() -> None:
    first, second = Name("relay-1"), Name("relay-1")
    for said in (
        first.claim(NOW_US),
        second.claim(NOW_US),
        first.claim(NOW_US),
    ):  # repeated before it was heard
        answers = [answer for name in (first, second) if (answer := name.hear(said, NOW_US)) is not None]
        for answer in answers:
            for name in (first, second):
                name.hear(answer, NOW_US)
    assert sorted([await is_taken(name) for name in (first, second)]) == [False, True]


async def test_another_name_is_nobodys_business() -> None:
    first, second = Name("relay-1"), Name("relay-2")
    meet(first, second)
    assert [await is_taken(name) for name in (first, second)] == [False, False]


async def test_one_that_was_frozen_has_been_replaced() -> None:
    first, second = Name("relay-1"), Name("relay-1")
    meet(first, second, late_us=ANSWERED_WITHIN_US)
    assert [await is_taken(name) for name in (first, second)] == [True, False]


async def test_one_that_died_does_not_keep_its_name() -> None:
    first, second = Name("relay-1"), Name("relay-1")
    second.hear(first.claim(NOW_US), NOW_US)
    said = second.claim(NOW_US + 1)
    assert second.hear(said, NOW_US + 1) is None
    assert not await is_taken(second)


async def test_it_is_said_on_the_bus() -> None:
    clock = SteppedClock()
    bus = EmbeddedBus(None, clock)
    await bus.start()
    names = [Name("relay-1"), Name("relay-2"), Name("relay-1")]
    async with AsyncExitStack() as running, asyncio.timeout(10):
        running.push_async_callback(bus.close)
        for name in names:
            heard = Redemptions(bus, clock, name)
            tasks = {"listen": heard.listen, "say": heard.make_heard}
            await running.enter_async_context(background(tasks, clock))
            while heard.heard_since_us is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
        with pytest.raises(NameTakenError):
            await names[2].until_taken()
        assert [await is_taken(name) for name in names] == [False, False, True]


async def test_a_relay_that_hears_another_before_itself_says_its_name_all_the_same() -> None:
    clock = SteppedClock()
    bus = EmbeddedBus(None, clock)
    await bus.start()
    names = [Name("relay-1"), Name("relay-1")]
    async with AsyncExitStack() as running, asyncio.timeout(10):
        running.push_async_callback(bus.close)
        first, second = (Redemptions(bus, clock, name) for name in names)
        await running.enter_async_context(background({"listen": second.listen}, clock))
        await running.enter_async_context(
            background({"listen": first.listen, "say": first.make_heard}, clock)
        )
        while second.heard_since_us is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        await running.enter_async_context(background({"say": second.make_heard}, clock))
        with pytest.raises(NameTakenError):
            await names[1].until_taken()
        assert not await is_taken(names[0])
