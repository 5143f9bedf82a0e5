"""What registry answers. Never a source: not its address, not its host, not its credentials."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from feedgate_contracts.feed.v1 import feed_pb2 as feed_pb
from feedgate_kit.clock import to_datetime
from feedgate_kit.http import ApiModel, Moment
from feedgate_registry.authorisation import Authorisation, AuthorisationState
from feedgate_registry.camera import Camera
from feedgate_registry.forms import PointForm
from feedgate_registry.schedule import DAYS, Schedule
from feedgate_registry.stop import Stop
from feedgate_registry.will import SharingWord

FeedPhaseWord = Literal["unknown", "idle", "connecting", "live", "retrying", "refused"]

_PHASES: Final[dict[int, FeedPhaseWord]] = {
    feed_pb.FEED_PHASE_IDLE: "idle",
    feed_pb.FEED_PHASE_CONNECTING: "connecting",
    feed_pb.FEED_PHASE_LIVE: "live",
    feed_pb.FEED_PHASE_RETRYING: "retrying",
    feed_pb.FEED_PHASE_REFUSED: "refused",
}


class SourceAnswer(ApiModel):
    """That there is a source, and since when."""

    scheme: Literal["rtsp"]
    set_at: Moment


class FeedAnswer(ApiModel):
    """How the camera's stream fares. `unknown` until registry has read the feed log."""

    phase: FeedPhaseWord
    reason: str | None
    detail: str | None
    codec: str | None
    width: int | None
    height: int | None
    changed_at: Moment | None


class CameraAnswer(ApiModel):
    """A camera."""

    id: str
    version: int
    name: str
    place: PointForm
    bearing_degrees: float
    field_of_view_degrees: float
    jurisdiction: str
    ingest_pool: str
    sharing: SharingWord
    source: SourceAnswer
    feed: FeedAnswer
    created_at: Moment


class StopAnswer(ApiModel):
    """When it was stopped, and by when the last viewer's screen is dark."""

    stopped_at: Moment
    dark_no_later_than: Moment


class PausedCameraAnswer(CameraAnswer):
    """A paused camera and the proof of its stop."""

    stopped_at: Moment
    dark_no_later_than: Moment


class WindowAnswer(ApiModel):
    """One window of a schedule, within one day."""

    days: list[str]
    begins: Annotated[str, Field(serialization_alias="from")]
    until: str


class ScheduleAnswer(ApiModel):
    """A schedule as it is kept: split at midnight, joined where windows touch."""

    time_zone: str
    windows: list[WindowAnswer]


class AuthorisationAnswer(ApiModel):
    """A SharingAuthorisation."""

    id: str
    camera_id: str
    version: int
    state: AuthorisationState
    agencies: list[str]
    purposes: list[str]
    renditions: list[str]
    schedule: ScheduleAnswer | None
    approval_mode: str
    given_at: Moment
    expires_at: Moment
    ended_at: Moment | None


class WithdrawalAnswer(StopAnswer):
    """A withdrawn authorisation and the proof of its stop."""

    authorisation: AuthorisationAnswer


class AgencyAnswer(ApiModel):
    """An agency owners may name."""

    id: str
    name: str
    jurisdiction: str


class PoolAnswer(ApiModel):
    """An ingest pool cameras may name."""

    name: str


class JurisdictionAnswer(ApiModel):
    """A jurisdiction cameras may stand in."""

    id: str
    parent: str | None


class AgenciesAnswer(ApiModel):
    """All of them."""

    items: list[AgencyAnswer]


class PoolsAnswer(ApiModel):
    """All of them."""

    items: list[PoolAnswer]


class JurisdictionsAnswer(ApiModel):
    """All of them."""

    items: list[JurisdictionAnswer]


class SealedSourceAnswer(ApiModel):
    """A source that only its pool can open; `version` and `key_id` are part of the seal."""

    camera_id: str
    version: int
    key_id: str
    sealed: str
    pool: str
    allowed_networks: list[str]


def feed_answer(feed: feed_pb.FeedState | None, *, known: bool) -> FeedAnswer:
    """The feed, idle if ingest never spoke of it; unknown while the log is not read to its end."""
    if feed is None:
        feed = feed_pb.FeedState(phase=feed_pb.FEED_PHASE_IDLE if known else feed_pb.FEED_PHASE_UNSPECIFIED)
    return FeedAnswer(
        phase=_PHASES.get(feed.phase, "unknown"),
        reason=feed.reason or None,
        detail=feed.detail or None,
        codec=feed.codec or None,
        width=feed.width or None,
        height=feed.height or None,
        changed_at=_feed_time(feed),
    )


def camera_answer(camera: Camera, sharing: SharingWord, feed: FeedAnswer) -> CameraAnswer:
    return CameraAnswer(
        id=camera.camera_id,
        version=camera.version,
        name=camera.name,
        place=PointForm(type="Point", coordinates=(camera.place.longitude, camera.place.latitude)),
        bearing_degrees=camera.place.bearing_degrees,
        field_of_view_degrees=camera.place.field_of_view_degrees,
        jurisdiction=camera.jurisdiction,
        ingest_pool=camera.ingest_pool,
        sharing=sharing,
        source=SourceAnswer(scheme="rtsp", set_at=to_datetime(camera.source_set_at_us)),
        feed=feed,
        created_at=to_datetime(camera.created_at_us),
    )


def stop_answer(stop: Stop) -> StopAnswer:
    return StopAnswer(
        stopped_at=to_datetime(stop.stopped_at_us),
        dark_no_later_than=to_datetime(stop.dark_no_later_than_us),
    )


def authorisation_answer(authorisation: Authorisation, now_us: int) -> AuthorisationAnswer:
    scope = authorisation.scope
    ended_at_us = authorisation.ended_at_us(now_us)
    return AuthorisationAnswer(
        id=authorisation.authorisation_id,
        camera_id=authorisation.camera_id,
        version=authorisation.version,
        state=authorisation.state(now_us),
        agencies=list(scope.agencies),
        purposes=list(scope.purposes),
        renditions=list(scope.renditions),
        schedule=None if scope.schedule is None else _schedule_answer(scope.schedule),
        approval_mode=authorisation.approval_mode,
        given_at=to_datetime(authorisation.given_at_us),
        expires_at=to_datetime(scope.expires_at_us),
        ended_at=None if ended_at_us is None else to_datetime(ended_at_us),
    )


def _schedule_answer(schedule: Schedule) -> ScheduleAnswer:
    windows = [
        WindowAnswer(
            days=[DAYS[window.weekday - 1]],
            begins=_clock_time(window.from_minute),
            until=_clock_time(window.until_minute),
        )
        for window in schedule.windows
    ]
    return ScheduleAnswer(time_zone=schedule.time_zone, windows=windows)


def _clock_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _feed_time(feed: feed_pb.FeedState) -> datetime | None:
    if not feed.HasField("changed_at"):
        return None
    return to_datetime(feed.changed_at.ToMicroseconds())
