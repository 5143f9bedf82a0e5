"""The right a view has now: its grant intersected with the owner's terms in force.

Narrowing bites at once. Terms are never widened: more is a new authorisation,
whose `terms.opens_at` shows nothing received before it. What is missing, unreadable or not understood denies.
"""

from dataclasses import dataclass
from typing import Final

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, SHARING_PAUSED, CameraState, Terms
from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_NOT_FRESH,
    NOTICE_CODE_OUT_OF_SCHEDULE,
    NOTICE_CODE_PAUSED_BY_OWNER,
    NOTICE_CODE_STOPPED,
    NOTICE_CODE_VIEW_ENDED,
    NoticeCode,
)
from feedgate_contracts.grant.v1.grant_pb2 import GRANT_PHASE_CLOSED, GRANT_PHASE_OPEN, GrantState
from feedgate_contracts.schedule import OpenHours, ScheduleError, present_or_next
from feedgate_relay.admission import NEVER_US, Limits
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import Ticket

_ENDINGS: Final = frozenset({NOTICE_CODE_STOPPED, NOTICE_CODE_VIEW_ENDED})
_BY_CLOCK: Final = frozenset(
    {
        Reason.TICKET_EXPIRED,
        Reason.GRANT_EXPIRED,
        Reason.AUTHORISATION_EXPIRED,
        Reason.OUT_OF_HOURS,
        Reason.NOT_YET_OPEN,
    }
)


@dataclass(frozen=True, slots=True)
class Shut:
    """Why a window admits nothing."""

    code: NoticeCode
    reason: str
    until_us: int | None = None  # when it will open by itself, where that is known

    @property
    def for_ever(self) -> bool:
        """Whether the view can never show a picture again."""
        return self.code in _ENDINGS

    @property
    def by_clock(self) -> bool:
        """Whether only this relay's clock says so."""
        return self.reason in _BY_CLOCK


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when pictures may be received and shown, as `admission.admit` asks for it."""

    opens_at_us: int
    received_from_us: int  # opens_at_us + margin
    closes_at_us: int
    mask_version: int
    closes_because: Reason | None = None  # what will have closed it
    shut: Shut | None = None


def shut_window(shut: Shut) -> Window:
    """A window that admits nothing."""
    return Window(NEVER_US, NEVER_US, 0, -1, shut=shut)


UNREAD: Final = shut_window(Shut(NOTICE_CODE_NOT_FRESH, Reason.RECORD_UNREAD))


class _ShutError(Exception):
    def __init__(self, shut: Shut) -> None:
        super().__init__(shut.reason)
        self.shut = shut


def open_window(
    camera: CameraState | None,
    grant: GrantState | None,
    ticket: Ticket,
    limits: Limits,
    *,
    view_until_us: int,
    now_us: int,
    camera_read_to_us: int | None,
) -> Window:
    """The window of one view, or a shut one that says why.

    Args:
        camera: the owner's will, None if missing or unreadable.
        grant: the grant the ticket names, likewise.
        ticket: what the view was opened with.
        limits: the margins.
        view_until_us: the ticket's end, or a later ticket's.
        now_us: wall clock.
        camera_read_to_us: `as_of` of the newest heartbeat read from the camera topic. A camera record
            that lacks an authorisation proves its withdrawal only if it was read up to after the grant.
    """
    try:
        if camera is None or grant is None:
            raise _not_known(Reason.RECORD_MISSING)
        _check_names(camera, grant, ticket)
        terms = _terms_in_force(camera, grant, ticket, limits, now_us, camera_read_to_us)
        _check_phase(camera, grant, now_us)
        return _window(camera, grant, terms, limits, view_until_us, now_us)
    except _ShutError as refused:
        return shut_window(refused.shut)


def _stopped(reason: str) -> _ShutError:
    return _ShutError(Shut(NOTICE_CODE_STOPPED, reason))


def _not_known(reason: Reason) -> _ShutError:
    return _ShutError(Shut(NOTICE_CODE_NOT_FRESH, reason))


def _check_names(camera: CameraState, grant: GrantState, ticket: Ticket) -> None:
    if (
        grant.grant_id != ticket.grant_id
        or not (camera.camera_id == grant.camera_id == ticket.camera_id)
        or grant.agency != ticket.agency
        or grant.rendition != ticket.rendition
        or grant.purpose != ticket.purpose
    ):
        raise _stopped(Reason.TICKET_MISMATCH)
    if ticket.operator not in grant.operators:
        raise _stopped(Reason.OPERATOR_NOT_NAMED)
    if not (grant.HasField("opens_at") and grant.HasField("not_after") and camera.HasField("resumed_at")):
        raise _not_known(Reason.RECORD_UNREADABLE)


def _terms_in_force(
    camera: CameraState,
    grant: GrantState,
    ticket: Ticket,
    limits: Limits,
    now_us: int,
    camera_read_to_us: int | None,
) -> Terms:
    if camera.removed:
        raise _stopped(Reason.CAMERA_REMOVED)
    terms = next((t for t in camera.terms if t.authorisation_id == grant.authorisation_id), None)
    refusal: Reason | None = None
    if terms is None:
        refusal = Reason.AUTHORISATION_WITHDRAWN
    elif (
        grant.agency not in terms.agencies
        or grant.purpose not in terms.purposes
        or ticket.rendition not in terms.renditions
    ):
        refusal = Reason.TERMS_NARROWED
    if refusal is not None:
        # The two topics are not ordered among each other: the grant may have been
        # read before the camera record that it rests on.
        read_past_grant = camera_read_to_us is not None and (
            camera_read_to_us - limits.skew_us >= grant.opens_at.ToMicroseconds()
        )
        raise _stopped(refusal) if read_past_grant else _not_known(Reason.RECORD_UNREAD)
    assert terms is not None
    if not (terms.HasField("opens_at") and terms.HasField("expires_at")):
        raise _not_known(Reason.RECORD_UNREADABLE)
    if terms.HasField("caps"):
        # Registry writes none yet; from one that does, they hold before this relay knows how to keep them.
        raise _not_known(Reason.RECORD_UNREADABLE)
    if terms.expires_at.ToMicroseconds() <= now_us:
        raise _stopped(Reason.AUTHORISATION_EXPIRED)
    return terms


def _check_phase(camera: CameraState, grant: GrantState, now_us: int) -> None:
    if grant.phase == GRANT_PHASE_CLOSED:
        raise _stopped(f"{Reason.GRANT_CLOSED}:{grant.closed_reason}")
    if grant.phase != GRANT_PHASE_OPEN:
        raise _not_known(Reason.RECORD_UNREADABLE)
    if grant.not_after.ToMicroseconds() <= now_us:
        raise _stopped(Reason.GRANT_EXPIRED)
    if camera.sharing == SHARING_PAUSED:
        raise _ShutError(Shut(NOTICE_CODE_PAUSED_BY_OWNER, Reason.PAUSED))
    if camera.sharing != SHARING_ON:
        raise _not_known(Reason.RECORD_UNREADABLE)


def _window(
    camera: CameraState, grant: GrantState, terms: Terms, limits: Limits, view_until_us: int, now_us: int
) -> Window:
    opens_at_us = max(
        grant.opens_at.ToMicroseconds(), terms.opens_at.ToMicroseconds(), camera.resumed_at.ToMicroseconds()
    )
    ends = {  # of those at one moment the first is told: what no fresh ticket helps against
        Reason.AUTHORISATION_EXPIRED: terms.expires_at.ToMicroseconds(),
        Reason.GRANT_EXPIRED: grant.not_after.ToMicroseconds(),
    }
    if view_until_us <= now_us:
        raise _ShutError(Shut(NOTICE_CODE_VIEW_ENDED, Reason.TICKET_EXPIRED))
    if terms.HasField("schedule"):
        hours = _hours(terms, now_us)
        if hours.opens_at_us > now_us:
            raise _ShutError(Shut(NOTICE_CODE_OUT_OF_SCHEDULE, Reason.OUT_OF_HOURS, hours.opens_at_us))
        opens_at_us = max(opens_at_us, hours.opens_at_us)
        ends[Reason.OUT_OF_HOURS] = hours.closes_at_us
    ends[Reason.TICKET_EXPIRED] = view_until_us
    if grant.opens_at.ToMicroseconds() > now_us + limits.skew_us:
        opens_us = grant.opens_at.ToMicroseconds()
        raise _ShutError(Shut(NOTICE_CODE_OUT_OF_SCHEDULE, Reason.NOT_YET_OPEN, opens_us))
    because = min(ends, key=lambda reason: ends[reason])
    return Window(
        opens_at_us=opens_at_us,
        received_from_us=opens_at_us + limits.margin_us,
        closes_at_us=ends[because],
        mask_version=camera.mask_version,
        closes_because=because,
    )


def _hours(terms: Terms, now_us: int) -> OpenHours:
    try:
        hours = present_or_next(terms.schedule, now_us)
    except ScheduleError:
        raise _not_known(Reason.RECORD_UNREADABLE) from None
    if hours is None:
        raise _ShutError(Shut(NOTICE_CODE_OUT_OF_SCHEDULE, Reason.OUT_OF_HOURS))
    return hours
