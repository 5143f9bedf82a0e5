"""A SharingAuthorisation: what one owner allows to be shown of one camera, to whom and until when."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from feedgate_contracts.camera.v1.camera_pb2 import Terms
from feedgate_kit.clock import rfc3339, to_datetime, to_us
from feedgate_kit.errors import FeedgateError
from feedgate_kit.timestamps import timestamp
from feedgate_registry.schedule import Schedule

Purpose = Literal[
    "detect",
    "execute_penalty",
    "investigate",
    "missing_person",
    "prevent",
    "prosecute",
    "public_security",
    "vital_interest",
]
"""LED art. 1 and two more: legal.md 1.1."""

Rendition = Literal["original"]
ApprovalMode = Literal["standing"]
AuthorisationState = Literal["active", "withdrawn", "expired"]


class ExpiryError(FeedgateError):
    """The expiry lies in the past or more than a year ahead."""

    def __init__(self, seen: datetime, latest: datetime) -> None:
        self.seen = rfc3339(seen)
        self.allowed = f"later than now and not after {rfc3339(latest)}"
        super().__init__(f"expires_at is `{self.seen}`; allowed: {self.allowed}")


@dataclass(frozen=True, slots=True)
class Scope:
    """How far an authorisation reaches. Names are sorted and stand once."""

    agencies: tuple[str, ...]
    purposes: tuple[str, ...]
    renditions: tuple[str, ...]
    schedule: Schedule | None  # None: always
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class Authorisation:
    """One act of an owner. Once withdrawn or expired it never comes back; a new act is a new id."""

    authorisation_id: str
    camera_id: str
    version: int
    scope: Scope
    approval_mode: str
    given_at_us: int
    withdrawn_at_us: int | None = None
    expired_at_us: int | None = None  # when the expiry was put on record, some time after it bit

    def state(self, now_us: int) -> AuthorisationState:
        if self.withdrawn_at_us is not None:
            return "withdrawn"
        if self.expired_at_us is not None or now_us >= self.scope.expires_at_us:
            return "expired"
        return "active"

    def ended_at_us(self, now_us: int) -> int | None:
        """When it stopped allowing anything; None while it still does."""
        match self.state(now_us):
            case "active":
                return None
            case "withdrawn":
                return self.withdrawn_at_us
            case "expired":
                return self.scope.expires_at_us

    def narrowed(self, scope: Scope) -> "Authorisation":
        return replace(self, scope=scope, version=self.version + 1)

    def withdrawn(self, now_us: int) -> "Authorisation":
        return replace(self, withdrawn_at_us=now_us, version=self.version + 1)

    def expired(self, now_us: int) -> "Authorisation":
        return replace(self, expired_at_us=now_us, version=self.version + 1)

    def to_terms(self) -> Terms:
        """What the other services are told of it."""
        return Terms(
            authorisation_id=self.authorisation_id,
            agencies=self.scope.agencies,
            purposes=self.scope.purposes,
            renditions=self.scope.renditions,
            schedule=None if self.scope.schedule is None else self.scope.schedule.to_message(),
            # Widening needs a new authorisation, so its terms always begin with it.
            opens_at=timestamp(self.given_at_us),
            expires_at=timestamp(self.scope.expires_at_us),
        )


def check_expiry(expires_at_us: int, now_us: int) -> None:
    """Refuse an expiry that is past or more than a year ahead.

    Raises:
        ExpiryError: says which times are allowed.
    """
    latest_us = latest_expiry_us(now_us)
    if not now_us < expires_at_us <= latest_us:
        raise ExpiryError(to_datetime(expires_at_us), to_datetime(latest_us))


def latest_expiry_us(now_us: int) -> int:
    """The same moment of the calendar a year later; 28 February for the 29th."""
    now = to_datetime(now_us)
    try:
        return to_us(now.replace(year=now.year + 1))
    except ValueError:
        return to_us(now.replace(year=now.year + 1, day=28))
