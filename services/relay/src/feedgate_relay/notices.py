"""What a viewer is told when pictures begin, stop or are missing: code, reason, a sentence for a person."""

from collections.abc import Mapping
from typing import Final

from feedgate_contracts.frame.v1.frame_pb2 import NoticeCode
from feedgate_kit.clock import to_datetime
from feedgate_relay.admission import Refusal
from feedgate_relay.reasons import Reason

_PREFIX: Final = "NOTICE_CODE_"

_SENTENCES: Final[Mapping[str, str]] = {
    Reason.AUTHORISATION_WITHDRAWN: "The owner has withdrawn the authorisation.",
    Reason.AUTHORISATION_EXPIRED: "The owner's authorisation has expired.",
    Reason.TERMS_NARROWED: "The owner's terms no longer cover this grant.",
    Reason.CAMERA_REMOVED: "The owner has removed the camera.",
    Reason.GRANT_CLOSED: "The grant was closed.",
    Reason.GRANT_EXPIRED: "The grant's time has passed.",
    Reason.OPERATOR_NOT_NAMED: "The grant does not name this operator.",
    Reason.TICKET_MISMATCH: "The ticket does not fit the grant.",
    Reason.PAUSED: "The owner has paused sharing; pictures come again when they resume it.",
    Reason.OUT_OF_HOURS: "The owner shares only at certain hours.",
    Reason.NOT_YET_OPEN: "The grant has not opened yet.",
    Reason.HEARTBEAT_OLD: "The relay cannot know whether it may show pictures; they come again when it can.",
    Reason.RECORD_MISSING: "The relay has not read the records this view rests on.",
    Reason.RECORD_UNREADABLE: "A record this view rests on cannot be read.",
    Reason.RECORD_UNREAD: "The relay has not yet read all that this view rests on.",
    Reason.NO_PICTURES: "No pictures come from the camera.",
    Reason.NO_KEYFRAME: "Waiting for the camera's next keyframe.",
    Refusal.BEFORE_WINDOW: "Pictures from before this moment are not shown.",
    Refusal.TOO_OLD: "The pictures that came were too old to be shown.",
    Refusal.OTHER_MASKS: "The pictures that came were made under other masks.",
    Refusal.NOT_NEWEST: "The pictures that came were of an older connection to the camera.",
    Reason.VIEWER_TOO_SLOW: "This connection took the pictures too slowly; they go on at the next keyframe.",
    Reason.PICTURES_LOST: "Pictures were lost between camera and relay; they go on at the next keyframe.",
    Reason.TICKET_EXPIRED: "The ticket's time has passed.",
    Reason.CLOSED_BY_VIEWER: "The viewer closed the view.",
    Reason.CONNECTION_LOST: "A connection of the view was lost.",
    Reason.MEDIA_NOT_OPENED: "The media socket was not opened in time.",
    Reason.BAD_MESSAGE: "The viewer sent a message that the relay does not know.",
    Reason.VIEWER_STALLED: "The viewer did not take its notices in time.",
    Reason.RELAY_STOPPING: "The relay is stopping; open a new view.",
    Reason.AUDIT_UNAVAILABLE: "The view could not be recorded, so it was not shown.",
}


def wire_code(code: NoticeCode) -> str:
    """The code as the notices socket carries it: `paused_by_owner`."""
    return NoticeCode.Name(code).removeprefix(_PREFIX).lower()


def sentence(reason: str) -> str:
    """What a reason means to a person; empty for one that stands for itself."""
    return _SENTENCES.get(reason.partition(":")[0], "")


def wire_time(at_us: int) -> str:
    """RFC 3339, UTC, milliseconds."""
    return to_datetime(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
