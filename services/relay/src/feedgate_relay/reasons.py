"""Why pictures do not come, as viewers, agencies and the audit log are told: stable codes."""

from enum import StrEnum


class Reason(StrEnum):
    """The reason within a notice, a close frame or an audit record.

    A closed grant adds why: `grant_closed:ended_by_operator`.
    """

    # For ever: this grant shows nothing more.
    AUTHORISATION_WITHDRAWN = "authorisation_withdrawn"
    AUTHORISATION_EXPIRED = "authorisation_expired"
    TERMS_NARROWED = "terms_narrowed"
    CAMERA_REMOVED = "camera_removed"
    GRANT_CLOSED = "grant_closed"
    GRANT_EXPIRED = "grant_expired"
    OPERATOR_NOT_NAMED = "operator_not_named"
    TICKET_MISMATCH = "ticket_mismatch"

    # For now: pictures come again by themselves.
    PAUSED = "paused"
    OUT_OF_HOURS = "out_of_hours"
    NOT_YET_OPEN = "not_yet_open"
    HEARTBEAT_OLD = "heartbeat_old"
    RECORD_MISSING = "record_missing"
    RECORD_UNREADABLE = "record_unreadable"
    RECORD_UNREAD = "record_unread"
    NO_PICTURES = "no_pictures"
    NO_KEYFRAME = "no_keyframe"
    VIEWER_TOO_SLOW = "viewer_too_slow"
    PICTURES_LOST = "pictures_lost"

    # The view's end.
    TICKET_EXPIRED = "ticket_expired"
    CLOSED_BY_VIEWER = "closed_by_viewer"
    CONNECTION_LOST = "connection_lost"
    MEDIA_NOT_OPENED = "media_not_opened"
    BAD_MESSAGE = "bad_message"
    VIEWER_STALLED = "viewer_stalled"
    RELAY_STOPPING = "relay_stopping"
    AUDIT_UNAVAILABLE = "audit_unavailable"

    # A refusal at the door.
    SUBPROTOCOL_MISSING = "subprotocol_missing"
    ORIGIN_REFUSED = "origin_refused"
    TICKET_MISSING = "ticket_missing"
    TICKET_INVALID = "ticket_invalid"
    TICKET_USED = "ticket_used"
    TICKET_BEFORE_START = "ticket_before_start"
    TICKET_KEYS_UNAVAILABLE = "ticket_keys_unavailable"
    TICKET_USE_UNKNOWN = "ticket_use_unknown"
    SECRET_REFUSED = "secret_refused"  # noqa: S105 - a reason code
    TOO_MANY_VIEWS = "too_many_views"
