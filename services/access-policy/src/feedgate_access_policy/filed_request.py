"""A request for access as it lies in the file: what was asked, why, and what came of it."""

from dataclasses import dataclass, replace
from typing import Literal

from feedgate_access_policy.question import AccessRequest

RequestState = Literal["pending_approval", "denied", "approved", "refused", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledRequest:
    """What was asked never changes; how it was settled is added once."""

    asked: AccessRequest
    incident_id: str
    case_number: str
    camera_ids: tuple[str, ...]
    necessity: str
    proportionality: str
    state: RequestState
    filed_at_us: int
    settled_by: str = ""  # pseudonym; empty where nobody did: pending, denied, expired
    settled_at_us: int | None = None
    settled_reasons: str = ""

    @property
    def agency(self) -> str:
        return self.asked.requester.agency

    @property
    def basis_codes(self) -> tuple[str, ...]:
        return tuple(named.basis_code for named in self.asked.bases)

    def settled(self, state: RequestState, by: str, reasons: str, now_us: int) -> "FiledRequest":
        """The request once somebody, or time, has settled it."""
        return replace(self, state=state, settled_by=by, settled_at_us=now_us, settled_reasons=reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happened somewhere, as the agency recorded it."""

    incident_id: str
    agency: str
    number: str
    longitude: float
    latitude: float
    occurred_at_us: int
    description: str
    recorded_by: str  # pseudonym
    recorded_at_us: int
