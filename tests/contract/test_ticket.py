"""A ticket as access-policy signs it is one as the relay reads it."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_access_policy import ticket as signed
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.ids import new_id
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_relay import ticket as read
from feedgate_relay.ticket_keys import TicketKeys


class PublishedKeys:
    """What `/internal/v1/ticket-keys` answers."""

    def __init__(self, keys: signed.TicketKeys) -> None:
        self.keys = keys

    async def fetch(self) -> Mapping[str, Any]:
        return self.keys.jwks()


async def test_the_relay_reads_what_access_policy_signs() -> None:
    clock = SteppedClock()
    now_us = clock.now_us()
    signing = signed.TicketKeys([Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()])
    camera_id = new_id()
    given = signed.Ticket(
        ticket_id=new_id(),
        operator="op-0123456789abcdef",
        agency="policia-ciudad",
        grant_id=new_id(),
        camera_id=camera_id,
        stream=f"{camera_id}/original",
        purpose="investigate",
        issued_at_us=now_us,
        view_until_us=now_us + 3_600 * MICROSECONDS,
    )
    token = signing.sign(given)
    key = await TicketKeys(PublishedKeys(signing), clock).key(read.key_id(token))
    taken = read.read_ticket(token, key, now_us=now_us, started_at_us=now_us - MICROSECONDS, skew_us=500_000)
    assert taken == read.Ticket(
        ticket_id=given.ticket_id,
        operator=given.operator,
        agency=given.agency,
        grant_id=given.grant_id,
        camera_id=given.camera_id,
        stream=given.stream,
        purpose=given.purpose,
        issued_at_us=given.issued_at_us,
        expires_at_us=given.expires_at_s * MICROSECONDS,
        view_until_us=given.view_until_us,
    )
