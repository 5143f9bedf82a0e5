"""What the decision point is asked: who, what, which camera, on which grounds."""

from dataclasses import dataclass
from typing import Literal

from feedgate_access_policy.camera import Camera, Terms
from feedgate_access_policy.evidence import Evidence

Action = Literal["request", "approve", "ticket", "hold"]

ORIGINAL = "original"
LIVE = "live"


@dataclass(frozen=True, slots=True)
class Person:
    """A named person of an agency, or of another one."""

    pseudonym: str  # of OIDC issuer and subject: equal if and only if the person is
    agency: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NamedBasis:
    """A legal basis as a requester invokes it."""

    basis_code: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What somebody asked for; frozen when it was asked."""

    request_id: str
    requester: Person
    agency_jurisdiction: str | None  # None: the agency is not in the list of agencies
    purpose: str
    bases: tuple[NamedBasis, ...]
    from_us: int
    until_us: int
    camera_count: int
    # Of the incident, WGS 84.
    longitude: float
    latitude: float
    mode: str = LIVE
    rendition: str = ORIGINAL


@dataclass(frozen=True, slots=True)
class GrantInForce:
    """What a rule may ask of a grant."""

    is_open: bool
    closed_reason: str  # empty while open
    operators: frozenset[str]  # pseudonyms
    approver: str | None
    opens_at_us: int
    not_after_us: int


@dataclass(frozen=True, slots=True)
class Login:
    """How strongly somebody signed in, and what their agency takes for strong enough."""

    acr: str = ""  # in their issuer's words (OIDC Core §2); empty: it says nothing, or nobody signed in
    accepted: frozenset[str] = frozenset()  # empty: any


NOBODY_SIGNED_IN = Login()
"""Of a question that the service asks by itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one camera, with every fact its answer may depend on."""

    action: Action
    person: Person
    camera_id: str
    camera: Camera | None  # None: no readable record
    terms: Terms | None  # of the authorisation the answer would rest on
    request: AccessRequest
    grant: GrantInForce | None
    distance_m: int  # from the incident, by the place the agency may know
    cameras_fresh: bool
    now_us: int
    login: Login = NOBODY_SIGNED_IN
