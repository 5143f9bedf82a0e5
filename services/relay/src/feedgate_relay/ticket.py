"""What a ticket says, and whether it says it truly: the one key to a view."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.errors import FeedgateError
from feedgate_relay.reasons import Reason

ISSUER: Final = "feedgate-access-policy"
AUDIENCE: Final = "feedgate-relay"
ALGORITHM: Final = "EdDSA"
LONGEST_LIFE_US: Final = 120 * MICROSECONDS
"""Access-policy gives 60 s to connect. A ticket that claims far more is not one of its own."""

_TEXTS: Final = ("jti", "sub", "agency", "grant", "camera", "stream", "purpose")
_NUMBERS: Final = ("exp", "issued_at_us", "view_until_us")


class TicketError(FeedgateError):
    """The ticket opens nothing. `reason` is told to its bearer; no view was opened."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave for one operator to open one view under one grant."""

    ticket_id: str
    operator: str  # pseudonym
    agency: str
    grant_id: str
    camera_id: str
    stream: str
    purpose: str
    issued_at_us: int
    expires_at_us: int  # to connect
    view_until_us: int  # to watch

    @property
    def rendition(self) -> str:
        return self.stream.partition("/")[2]


def key_id(token: str) -> str:
    """The `kid` the token names; empty if it names none.

    Raises:
        TicketError: the token is no JWT.
    """
    try:
        kid = jwt.get_unverified_header(token).get("kid", "")
    except jwt.InvalidTokenError as error:
        raise TicketError(Reason.TICKET_INVALID, "the ticket is no signed token") from error
    return kid if isinstance(kid, str) else ""


def read_ticket(
    token: str, key: Ed25519PublicKey, *, now_us: int, started_at_us: int, skew_us: int
) -> Ticket:
    """The ticket, if access-policy signed it, it is not too late, and this relay could remember its use.

    Args:
        token: a JWT signed with EdDSA.
        key: access-policy's key of the `kid` the token names.
        now_us: the relay's clock.
        started_at_us: when this relay began to hear of used tickets.
        skew_us: how far the issuer's clock may lie from the relay's.

    Raises:
        TicketError: it is not.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            # The times are compared below, with the clock that was handed in.
            options={
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "require": ["exp", "aud", "iss"],
            },
        )
    except jwt.InvalidTokenError as error:
        raise TicketError(
            Reason.TICKET_INVALID, "the ticket was not signed by access-policy for a relay"
        ) from error
    ticket = _from_claims(claims)
    if ticket.expires_at_us <= now_us or ticket.view_until_us <= now_us:
        raise TicketError(Reason.TICKET_EXPIRED, "the ticket's time has passed")
    if ticket.expires_at_us > now_us + LONGEST_LIFE_US:
        raise TicketError(Reason.TICKET_INVALID, "the ticket claims a longer life than tickets have")
    # Uses before the start are forgotten, so a ticket that may be older was perhaps used.
    if ticket.issued_at_us < started_at_us + skew_us:
        raise TicketError(
            Reason.TICKET_BEFORE_START, "the ticket is older than this relay; ask for a new one"
        )
    return ticket


def _from_claims(claims: Mapping[str, Any]) -> Ticket:
    texts = {name: claims.get(name) for name in _TEXTS}
    numbers = {name: claims.get(name) for name in _NUMBERS}
    wrong = [name for name, value in texts.items() if not isinstance(value, str) or not value]
    wrong += [name for name, value in numbers.items() if type(value) is not int]
    if wrong:
        raise TicketError(
            Reason.TICKET_INVALID, f"the ticket lacks {', '.join(f'`{name}`' for name in wrong)}"
        )
    ticket = Ticket(
        ticket_id=claims["jti"],
        operator=claims["sub"],
        agency=claims["agency"],
        grant_id=claims["grant"],
        camera_id=claims["camera"],
        stream=claims["stream"],
        purpose=claims["purpose"],
        issued_at_us=claims["issued_at_us"],
        expires_at_us=claims["exp"] * MICROSECONDS,
        view_until_us=claims["view_until_us"],
    )
    if ticket.stream != f"{ticket.camera_id}/{ticket.rendition}" or not ticket.rendition:
        raise TicketError(Reason.TICKET_INVALID, "the ticket's stream is not one of its camera")
    return ticket
