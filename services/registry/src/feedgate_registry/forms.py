"""What owners and ingest may send, field by field."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr

from feedgate_kit.addresses import MAX_URL_CHARACTERS
from feedgate_kit.http import ApiModel, Moment, Name
from feedgate_registry.authorisation import ApprovalMode, Purpose, Rendition
from feedgate_registry.jurisdictions import NAME
from feedgate_registry.schedule import Day, Schedule, Span, weekly

T = TypeVar("T")

MOST_AGENCIES = 50
LONGEST_AGENCY = 48
MOST_SPANS = 50

_UNSET: Any = None
"""Stands for a field that was left out; `null` itself is refused where the type does not name it."""


def _without_address(text: str) -> str:
    if "://" in text:
        raise ValueError("a name without an address in it")  # it would be shown to everybody
    return text


def _only_original() -> list[Rendition]:
    return ["original"]


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) != len(values):
        raise ValueError("each of them once")
    return values


CameraName = Annotated[Name, AfterValidator(_without_address)]
Jurisdiction = Annotated[str, Field(max_length=20, pattern=NAME)]
"""ISO 3166-2 or one of its parents, as the jurisdiction packs name it: `AR-B`."""
PoolName = Annotated[str, Field(min_length=1, max_length=63)]
Bearing = Annotated[float, Field(ge=0, le=360)]
FieldOfView = Annotated[float, Field(gt=0, le=360)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Agencies = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_AGENCY)]],
    Field(min_length=1, max_length=MOST_AGENCIES),
    AfterValidator(_distinct),
]
Purposes = Annotated[list[Purpose], Field(min_length=1), AfterValidator(_distinct)]
Renditions = Annotated[list[Rendition], Field(min_length=1), AfterValidator(_distinct)]
Credential = Annotated[SecretStr, Field(max_length=400)]


class PointForm(ApiModel):
    """A GeoJSON point (RFC 7946 §3.1.2), without altitude."""

    type: Literal["Point"]
    coordinates: tuple[Longitude, Latitude]


class SourceForm(ApiModel):
    """An RTSP address with its credentials in it or beside it. Never given back."""

    url: Annotated[SecretStr, Field(min_length=1, max_length=MAX_URL_CHARACTERS)]
    username: Credential | None = None
    password: Credential | None = None


class CameraForm(ApiModel):
    """A camera to register."""

    name: CameraName
    place: PointForm
    bearing_degrees: Bearing
    field_of_view_degrees: FieldOfView
    jurisdiction: Jurisdiction
    source: SourceForm
    ingest_pool: PoolName


class CameraPatch(ApiModel):
    """What is to change of a camera; what is left out stays."""

    name: CameraName = _UNSET
    place: PointForm = _UNSET
    bearing_degrees: Bearing = _UNSET
    field_of_view_degrees: FieldOfView = _UNSET
    jurisdiction: Jurisdiction = _UNSET
    source: SourceForm = _UNSET
    ingest_pool: PoolName = _UNSET

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, by the names of `Camera`'s and `Place`'s, without the source."""
        changes: dict[str, Any] = {
            name: getattr(self, name) for name in self.model_fields_set if name not in {"place", "source"}
        }
        if "place" in self.model_fields_set:
            changes["longitude"], changes["latitude"] = self.place.coordinates
        return changes


class SpanForm(ApiModel):
    """Some days of the week and a time of day; `until` before `from` goes past midnight."""

    days: Annotated[
        list[Day],
        Field(min_length=1, max_length=7),
        AfterValidator(_distinct),
    ]
    begins: Annotated[str, Field(alias="from", max_length=5)]
    until: Annotated[str, Field(max_length=5)]


class ScheduleForm(ApiModel):
    """Windows of local time that repeat every week."""

    time_zone: Annotated[str, Field(min_length=1, max_length=64)]
    windows: Annotated[list[SpanForm], Field(min_length=1, max_length=MOST_SPANS)]

    def to_schedule(self) -> Schedule:
        """The schedule.

        Raises:
            ScheduleError: a zone or a time that does not exist, or an empty window.
        """
        return weekly(
            self.time_zone, [Span(tuple(span.days), span.begins, span.until) for span in self.windows]
        )


class AuthorisationForm(ApiModel):
    """An authorisation to give."""

    agencies: Agencies
    purposes: Purposes
    renditions: Renditions = Field(default_factory=_only_original)
    schedule: ScheduleForm | None = None
    expires_at: Moment | None = None
    """A year from now if left out."""
    approval_mode: ApprovalMode = "standing"


class AuthorisationPatch(ApiModel):
    """How an authorisation is to be narrowed; what is left out stays."""

    agencies: Agencies = _UNSET
    purposes: Purposes = _UNSET
    renditions: Renditions = _UNSET
    schedule: ScheduleForm | None = None
    expires_at: Moment = _UNSET


class SourceRequest(ApiModel):
    """An ingest worker's wish for a camera's sealed source."""

    pool: PoolName
    key_ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=8)
    ]
