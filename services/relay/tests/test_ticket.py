"""Which tickets open a view, and how their keys are had."""

from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.errors import BusError
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import Ticket, TicketError, key_id, read_ticket
from feedgate_relay.ticket_keys import LEAST_PAUSE_S, TicketKeys
from services.relay.tests.scene import CAMERA_ID, OPERATOR, STREAM, SteppedClock, TicketOffice

CLOCK = SteppedClock()
NOW_US = CLOCK.now_us()
OFFICE = TicketOffice(CLOCK)
SKEW_US = 500_000


def read(token: str, *, started_at_us: int = NOW_US - 3600 * MICROSECONDS, now_us: int = NOW_US) -> Ticket:
    return read_ticket(
        token,
        OFFICE.private_key.public_key(),
        now_us=now_us,
        started_at_us=started_at_us,
        skew_us=SKEW_US,
    )


def test_a_ticket_says_who_may_watch_what_until_when() -> None:
    ticket = read(OFFICE.ticket())
    assert (ticket.operator, ticket.stream, ticket.rendition) == (OPERATOR, STREAM, "original")
    assert ticket.view_until_us == NOW_US + 3600 * MICROSECONDS


def with_other_algorithm() -> str:
    key = generate_private_key(65537, 2048)
    return jwt.encode(OFFICE.claims(), key, algorithm="RS256", headers={"kid": OFFICE.kid})


def unsigned() -> str:
    return jwt.encode(OFFICE.claims(), "", algorithm="none", headers={"kid": OFFICE.kid})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: TicketOffice(CLOCK).ticket(), Reason.TICKET_INVALID),
        (with_other_algorithm, Reason.TICKET_INVALID),
        (unsigned, Reason.TICKET_INVALID),
        (lambda: "no.jwt.at-all", Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(aud="feedgate-audit"), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(iss="somebody"), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(jti=None), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(sub=""), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(view_until_us="later"), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(issued_at_us=True), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(stream="another/original"), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(stream=CAMERA_ID), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(exp=NOW_US // MICROSECONDS + 3600), Reason.TICKET_INVALID),
        (lambda: OFFICE.ticket(exp=NOW_US // MICROSECONDS), Reason.TICKET_EXPIRED),
        (lambda: OFFICE.ticket(view_until_us=NOW_US), Reason.TICKET_EXPIRED),
    ],
)
def test_no_other_token_is_a_ticket(make: Callable[[], str], reason: Reason) -> None:
    with pytest.raises(TicketError) as refused:
        read(make())
    assert refused.value.reason == reason


def test_a_ticket_from_before_the_start_may_have_been_used_before_it() -> None:
    started_at_us = NOW_US - 10 * MICROSECONDS
    read(OFFICE.ticket(issued_at_us=started_at_us + SKEW_US), started_at_us=started_at_us)
    with pytest.raises(TicketError) as refused:
        read(OFFICE.ticket(issued_at_us=started_at_us + SKEW_US - 1), started_at_us=started_at_us)
    assert refused.value.reason == Reason.TICKET_BEFORE_START


class Source:
    """A key source that can be away."""

    def __init__(self, office: TicketOffice) -> None:
        self.office = office
        self.away = False

    async def fetch(self) -> Mapping[str, Any]:
        if self.away:
            raise BusError("away")
        return await self.office.fetch()


async def test_keys_are_asked_for_once_and_kept_while_access_policy_is_down() -> None:
    clock = SteppedClock()
    source = Source(TicketOffice(clock))
    keys = TicketKeys(source, clock)
    kid = key_id(source.office.ticket())
    await keys.key(kid)
    source.away = True
    clock.step(hours=1)
    await keys.key(kid)
    assert source.office.asked == 1


async def test_an_unknown_key_id_is_asked_about_but_not_too_often() -> None:
    clock = SteppedClock()
    office = TicketOffice(clock)
    keys = TicketKeys(office, clock)
    await keys.key(office.kid)
    office.kid = "key-2"
    with pytest.raises(TicketError) as refused:
        await keys.key("key-2")
    assert refused.value.reason == Reason.TICKET_INVALID
    clock.step(seconds=LEAST_PAUSE_S)
    await keys.key("key-2")
    for _ in range(5):
        with pytest.raises(TicketError):
            await keys.key("guessed")
    assert office.asked == 2


async def test_a_key_that_is_not_for_signatures_opens_nothing() -> None:
    office = TicketOffice(SteppedClock())
    (key,) = office.jwks()["keys"]

    class Fixed:
        async def fetch(self) -> Mapping[str, Any]:
            return {"keys": [{**key, "use": "enc"}]}

    with pytest.raises(TicketError) as refused:
        await TicketKeys(Fixed(), office.clock).key(office.kid)
    assert refused.value.reason == Reason.TICKET_KEYS_UNAVAILABLE


async def test_without_any_key_the_refusal_says_that_keys_are_missing() -> None:
    clock = SteppedClock()
    source = Source(TicketOffice(clock))
    source.away = True
    keys = TicketKeys(source, clock)
    assert not keys.known
    with pytest.raises(TicketError) as refused:
        await keys.key("key-1")
    assert refused.value.reason == Reason.TICKET_KEYS_UNAVAILABLE
