"""A ticket opens one view over all relays, and none where that cannot be told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from feedgate_contracts.ticket.v1.ticket_pb2 import TicketRedeemed
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.faulty import Fault, FaultyBus
from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.supervise import background
from feedgate_kit.topics import TICKET_EVENTS, dead_letters
from feedgate_relay import redemption
from feedgate_relay.name import Name
from feedgate_relay.reasons import Reason
from feedgate_relay.redemption import Redemptions
from feedgate_relay.ticket import LONGEST_LIFE_US, TicketError
from services.relay.tests.scene import SteppedClock
from services.relay.tests.stage import Stage, staged

CLOCK = SteppedClock()


@asynccontextmanager
async def listening(bus: Bus, relay_id: str) -> AsyncIterator[Redemptions]:
    redemptions = Redemptions(bus, CLOCK, Name(relay_id))
    tasks = {"listen": redemptions.listen, "make heard": redemptions.make_heard}
    async with background(tasks, CLOCK), asyncio.timeout(10):
        while redemptions.heard_since_us is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        yield redemptions


@asynccontextmanager
async def two_relays() -> AsyncIterator[tuple[FaultyBus, Redemptions, Redemptions]]:
    bus = FaultyBus(EmbeddedBus(None, CLOCK))
    await bus.start()
    async with listening(bus, "relay-1") as first, listening(bus, "relay-2") as second:
        yield bus, first, second
    await bus.close()


async def refused(redemptions: Redemptions, stage: Stage, ticket_id: str) -> Reason:
    with pytest.raises(TicketError) as error:
        await redemptions.redeem(stage.ticket(ticket_id=ticket_id))
    return error.value.reason


async def test_a_ticket_used_at_one_relay_opens_nothing_at_another(stage: Stage) -> None:
    async with two_relays() as (_, first, second):
        await first.redeem(stage.ticket(ticket_id="one"))
        for relay in (second, first):
            assert await refused(relay, stage, "one") == Reason.TICKET_USED
        await second.redeem(stage.ticket(ticket_id="two"))


async def test_of_all_who_show_a_ticket_at_once_one_is_let_in(stage: Stage) -> None:
    async with two_relays() as (_, first, second):
        ticket = stage.ticket()
        showings = [relay.redeem(ticket) for relay in (first, second) * 8]
        answers = await asyncio.gather(*showings, return_exceptions=True)
    assert sum(answer is None for answer in answers) == 1
    reasons = {answer.reason for answer in answers if isinstance(answer, TicketError)}
    assert reasons == {Reason.TICKET_USED}


async def test_while_it_cannot_be_told_nobody_is_let_in(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redemption, "REDEEMED_WITHIN_S", 0.05)
    async with two_relays() as (bus, first, second):
        bus.freeze(TICKET_EVENTS)
        assert await refused(first, stage, "one") == Reason.TICKET_USE_UNKNOWN
        await bus.thaw(TICKET_EVENTS)
        # What was under way has landed: the ticket is spent, though it opened nothing.
        assert await refused(second, stage, "one") == Reason.TICKET_USED
        bus.hold(TICKET_EVENTS)
        assert await refused(first, stage, "two") == Reason.TICKET_USE_UNKNOWN


async def test_a_record_that_cannot_be_read_is_a_use_of_the_ticket_it_names(stage: Stage) -> None:
    async with two_relays() as (bus, first, _):
        await bus.event_log(TICKET_EVENTS).append(Record("one", b"\xff"))
        assert await refused(first, stage, "one") == Reason.TICKET_USED
        (letter, *_) = await (await bus.event_log(dead_letters(TICKET_EVENTS)).open_consumer("test")).read()
        assert letter.record.key == "one"


async def test_used_tickets_are_remembered_until_they_could_not_be_used_any_more(stage: Stage) -> None:
    async with two_relays() as (_, first, _):
        ticket = stage.ticket()
        await first.redeem(ticket)
        first.forget_expired(ticket.expires_at_us + LONGEST_LIFE_US - 1)
        assert len(first) == 1
        first.forget_expired(ticket.expires_at_us + LONGEST_LIFE_US + MICROSECONDS)
        assert len(first) == 0


async def test_a_relay_without_room_leaves_the_ticket_good_for_another() -> None:
    async with staged(maximum=0) as full, staged() as other:
        ticket = full.ticket()
        with pytest.raises(Exception, match=Reason.TOO_MANY_VIEWS):
            await full.views.open(ticket, full.connection())
        assert len(full.redemptions) == 0
        await other.views.open(ticket, other.connection())


async def test_a_use_that_landed_unacknowledged_opens_its_view(stage: Stage) -> None:
    async with two_relays() as (bus, first, second):
        bus.fail_next(TICKET_EVENTS, Fault.UNACKNOWLEDGED)
        await first.redeem(stage.ticket(ticket_id="one"))
        assert await refused(second, stage, "one") == Reason.TICKET_USED


async def test_a_use_that_cannot_land_is_not_waited_for(stage: Stage) -> None:
    bus = EmbeddedBus(None, CLOCK)
    await bus.start()
    async with listening(bus, "relay-1") as redemptions:
        await bus.close()
        async with asyncio.timeout(redemption.REDEEMED_WITHIN_S / 2):
            assert await refused(redemptions, stage, "one") == Reason.TICKET_USE_UNKNOWN


async def test_an_answer_that_the_bus_did_not_take_is_given_again() -> None:
    bus = FaultyBus(EmbeddedBus(None, CLOCK))
    await bus.start()
    async with listening(bus, "relay-1"):
        second = Name("relay-1")
        message = TicketRedeemed(relay_id="relay-1", attempt=second.process)
        message.expires_at.FromMicroseconds(CLOCK.now_us())
        await bus.event_log(TICKET_EVENTS).append(Record(redemption.MARK, message.SerializeToString()))
        bus.fail_next(TICKET_EVENTS, Fault.REFUSED)  # the answer, which is the next to be appended
        async with asyncio.timeout(10), aclosing(bus.event_log(TICKET_EVENTS).tail(None)) as records:
            async for stored in records:
                if TicketRedeemed.FromString(stored.record.value).ticket_id == second.process:
                    break
    await bus.close()


async def test_a_relay_that_hears_nothing_more_of_itself_says_that_it_does_not_hear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redemption, "MARKED_EVERY_S", 0.01)
    monkeypatch.setattr(redemption, "REPEATED_EVERY_S", 0.01)
    clock = SteppedClock()
    bus = FaultyBus(EmbeddedBus(None, clock))
    await bus.start()
    redemptions = Redemptions(bus, clock, Name("relay-1"))
    tasks = {"listen": redemptions.listen, "make heard": redemptions.make_heard}
    async with background(tasks, clock), asyncio.timeout(10):
        while not redemptions.hears:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        bus.hold(TICKET_EVENTS)
        clock.step(milliseconds=round(redemption.HEARS_FOR_S * 1_000))
        assert not redemptions.hears
        assert redemptions.heard_since_us is not None, "what it heard before still counts"
        await bus.release(TICKET_EVENTS)
        while not redemptions.hears:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    await bus.close()
