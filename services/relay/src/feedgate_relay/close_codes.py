"""WebSocket close codes of the relay, one for each reason that ends or refuses a view.

`docs/ref/close-codes.md` explains each to clients.
"""

from enum import IntEnum

from feedgate_relay.reasons import Reason


class CloseCode(IntEnum):
    """4000-4009 the view is over, 4010-4029 refused at the door, 4030-4049 no right, 4050-4059 try again."""

    CLOSED_BY_VIEWER = 4000
    RELAY_STOPPING = 4001
    MEDIA_NOT_OPENED = 4002
    VIEWER_STALLED = 4003
    BAD_MESSAGE = 4004
    CONNECTION_LOST = 4005

    SUBPROTOCOL_MISSING = 4010
    ORIGIN_REFUSED = 4011
    TICKET_MISSING = 4012
    TICKET_INVALID = 4013
    TICKET_EXPIRED = 4014
    TICKET_USED = 4015
    TICKET_BEFORE_START = 4016
    TICKET_MISMATCH = 4017
    SECRET_REFUSED = 4018

    AUTHORISATION_WITHDRAWN = 4030
    AUTHORISATION_EXPIRED = 4031
    TERMS_NARROWED = 4032
    CAMERA_REMOVED = 4033
    GRANT_CLOSED = 4034
    GRANT_EXPIRED = 4035
    OPERATOR_NOT_NAMED = 4036

    NOT_FRESH = 4050
    TICKET_KEYS_UNAVAILABLE = 4051
    TOO_MANY_VIEWS = 4052
    AUDIT_UNAVAILABLE = 4053
    TICKET_USE_UNKNOWN = 4054


def close_code(reason: str) -> CloseCode:
    """The close code of a reason; every reason that can end or refuse a view has one."""
    name = reason.partition(":")[0]
    if name in _NOT_FRESH:
        return CloseCode.NOT_FRESH
    return CloseCode[name.upper()]


_NOT_FRESH = frozenset(
    {Reason.HEARTBEAT_OLD, Reason.RECORD_MISSING, Reason.RECORD_UNREADABLE, Reason.RECORD_UNREAD}
)
