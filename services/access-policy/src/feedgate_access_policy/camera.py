"""A camera as its owner's record has it: where it is and whom it is shared with."""

from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import DecodeError

from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit.errors import UnreadableRecordError

Sharing = Literal["on", "paused", "stopped"]

_SHARING: dict[camera_pb2.Sharing, Sharing] = {
    camera_pb2.SHARING_ON: "on",
    camera_pb2.SHARING_PAUSED: "paused",
    camera_pb2.SHARING_STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """One sharing authorisation, as in force now."""

    authorisation_id: str
    agencies: frozenset[str]
    purposes: frozenset[str]
    renditions: frozenset[str]
    schedule: camera_pb2.WeeklySchedule | None  # None: always
    opens_at_us: int
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class Camera:
    """The owner's will over one camera."""

    camera_id: str
    version: int
    owner: str  # keyed hash, as audit records carry it
    sharing: Sharing
    removed: bool
    jurisdiction: str
    longitude: float
    latitude: float
    bearing_degrees: float
    field_of_view_degrees: float
    terms: tuple[Terms, ...]

    def terms_of(self, authorisation_id: str) -> Terms | None:
        """The terms of one authorisation, if it is in force."""
        return next((terms for terms in self.terms if terms.authorisation_id == authorisation_id), None)

    def terms_for(self, agency: str, now_us: int) -> tuple[Terms, ...]:
        """The terms in force that list the agency; none while sharing is stopped."""
        if self.removed or self.sharing == "stopped":
            return ()
        return tuple(
            terms for terms in self.terms if agency in terms.agencies and now_us < terms.expires_at_us
        )


def read_state(value: bytes) -> camera_pb2.CameraState:
    """A record of `registry.camera.state.v1`, of which `camera_of` can make a camera.

    Raises:
        UnreadableRecordError: it is no such record, or holds a sharing this code does not know.
    """
    try:
        state = camera_pb2.CameraState.FromString(value)
    except DecodeError as error:
        raise UnreadableRecordError("not a feedgate.camera.v1.CameraState") from error
    if state.sharing not in _SHARING or not state.camera_id:
        raise UnreadableRecordError(f"camera state has id `{state.camera_id}`, sharing {state.sharing}")
    place = state.place
    # Written so that what is not a number is outside, too.
    if not (abs(place.longitude) <= 180 and abs(place.latitude) <= 90):
        raise UnreadableRecordError("camera state has a place that is not on the earth")
    return state


def camera_of(state: camera_pb2.CameraState) -> Camera:
    """The camera that a state from `read_state` tells of."""
    place = state.place
    return Camera(
        camera_id=state.camera_id,
        version=state.version,
        owner=state.owner,
        sharing=_SHARING[state.sharing],
        removed=state.removed,
        jurisdiction=state.jurisdiction,
        longitude=place.longitude,
        latitude=place.latitude,
        bearing_degrees=place.bearing_degrees,
        field_of_view_degrees=place.field_of_view_degrees,
        terms=tuple(map(_read_terms, state.terms)),
    )


def _read_terms(terms: camera_pb2.Terms) -> Terms:
    return Terms(
        authorisation_id=terms.authorisation_id,
        agencies=frozenset(terms.agencies),
        purposes=frozenset(terms.purposes),
        renditions=frozenset(terms.renditions),
        schedule=terms.schedule if terms.HasField("schedule") else None,
        opens_at_us=terms.opens_at.ToMicroseconds(),
        expires_at_us=terms.expires_at.ToMicroseconds(),
    )
