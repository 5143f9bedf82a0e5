"""What callers send: the bodies of this service's API."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from feedgate_access_policy.evidence import Document, EvidenceValue, says_something
from feedgate_access_policy.question import NamedBasis
from feedgate_kit.clock import to_us
from feedgate_kit.http import ApiModel, Id, Moment, Text

Purpose = Literal[
    "prevent",
    "investigate",
    "detect",
    "prosecute",
    "execute_penalty",
    "public_security",
    "vital_interest",
    "missing_person",
]
"""Why the police may look (legal.md 1.1)."""

MOST_CAMERAS_READ = 100
"""Of one request. The law's own limit is the packs' `max_cameras`; beyond it the answer is a decision,
beyond this it is no request."""


def _saying_something(text: str) -> str:
    if not says_something(text):
        raise ValueError("text with letters or digits")
    return text


_STRIPPED = StringConstraints(strip_whitespace=True)

FileNumber = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./_\-]{2,63}$")]
"""Number of an incident or a case, as its own system writes it."""

Reasons = Annotated[Text, _STRIPPED, Field(min_length=3, max_length=2_000), AfterValidator(_saying_something)]

Statement = Annotated[
    Text, _STRIPPED, Field(min_length=80, max_length=4_000), AfterValidator(_saying_something)
]
"""Why something is necessary or proportionate: at least 80 characters (legal.md 1.1)."""

_Longitude = Annotated[float, Field(ge=-180, le=180)]
_Latitude = Annotated[float, Field(ge=-90, le=90)]


class PointBody(ApiModel):
    """A GeoJSON Point (RFC 7946 3.1.2), WGS 84."""

    type: Literal["Point"]
    coordinates: tuple[_Longitude, _Latitude]


class IncidentBody(ApiModel):
    """`POST /incidents`."""

    number: FileNumber
    place: PointBody
    occurred_at: Moment
    description: Annotated[Text, Field(max_length=2_000)] = ""


class DocumentBody(ApiModel):
    """A paper by reference: its number, who signed it and when."""

    ref: Annotated[Text, Field(max_length=200)]
    issued_by: Annotated[Text, Field(max_length=200)]
    issued_at: Moment
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    def to_document(self) -> Document:
        return Document(self.ref, self.issued_by, to_us(self.issued_at), self.sha256)


EvidenceText = Annotated[Text, Field(max_length=2_000)]
FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class BasisBody(ApiModel):
    """A legal basis with the evidence its row asks for; empty evidence is missing evidence."""

    basis_code: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9.\-]{2,63}$")]
    evidence: Annotated[dict[FieldName, EvidenceText | DocumentBody], Field(max_length=40)]

    def to_basis(self) -> NamedBasis:
        evidence: dict[str, EvidenceValue] = {
            field: value if isinstance(value, str) else value.to_document()
            for field, value in self.evidence.items()
        }
        return NamedBasis(self.basis_code, evidence)


class WindowBody(ApiModel):
    """From when until when somebody wants to watch."""

    not_before: Moment
    not_after: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.not_after <= self.not_before:
            raise ValueError("not_after later than not_before")
        return self


class RequestBody(ApiModel):
    """`POST /requests`."""

    incident_id: Id
    purpose: Purpose
    case_number: FileNumber
    camera_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_CAMERAS_READ)]
    window: WindowBody
    bases: Annotated[list[BasisBody], Field(min_length=1, max_length=8)]
    necessity: Statement
    proportionality: Statement | None = None

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if len(set(self.camera_ids)) != len(self.camera_ids):
            raise ValueError("each camera once")
        if len({basis.basis_code for basis in self.bases}) != len(self.bases):
            raise ValueError("each basis once")
        return self


class ReasonsBody(ApiModel):
    """`POST /requests/{id}/approve` and `/refuse`."""

    reasons: Reasons


class EndBody(ApiModel):
    """`POST /grants/{id}/end`. The reason is for the log of who ended it, if given."""

    reason: Reasons | None = None
