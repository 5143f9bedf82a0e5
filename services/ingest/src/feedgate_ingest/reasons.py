"""Why a stream is not live, in codes a program can act on and sentences an owner can."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from feedgate_kit.errors import FeedgateError


class Phase(Enum):
    """How a stream fares; `FeedPhase` on the bus."""

    IDLE = "idle"
    CONNECTING = "connecting"
    LIVE = "live"
    RETRYING = "retrying"
    REFUSED = "refused"


class Pace(Enum):
    """How soon to try again."""

    AT_ONCE = "at once"  # nothing is wrong with the camera
    GROWING = "growing"  # it may pass by itself
    SLOW = "slow"  # it needs the owner; and cameras lock out who asks too often


class Reason(StrEnum):
    """Stable codes of `FeedState.reason`."""

    NOT_DEMANDED = "not_demanded"
    SHARING_PAUSED = "sharing_paused"
    SHARING_STOPPED = "sharing_stopped"
    CAMERA_REMOVED = "camera_removed"
    CAMERA_UNKNOWN = "camera_unknown"
    STATE_NOT_FRESH = "state_not_fresh"
    RENDITION_UNAVAILABLE = "rendition_unavailable"
    WORKER_ENDED = "worker_ended"

    SOURCE_CHANGED = "source_changed"
    FORMAT_CHANGED = "format_changed"
    WORKER_PAUSED = "worker_paused"

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    NAME_UNRESOLVED = "name_unresolved"
    SOURCE_UNAVAILABLE = "source_unavailable"
    CAMERA_BUSY = "camera_busy"
    CAMERA_ERROR = "camera_error"
    PROTOCOL_ERROR = "protocol_error"
    DROPPED_BY_CAMERA = "dropped_by_camera"
    STALLED = "stalled"
    NO_KEYFRAME = "no_keyframe"
    CAMERA_CLOCK_STEPPED = "camera_clock_stepped"
    INTERNAL_ERROR = "internal_error"

    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a code, not a password
    PASSWORD_NEEDED = "password_needed"  # noqa: S105 - a code, not a password
    UNSUPPORTED_AUTHENTICATION = "unsupported_authentication"
    CREDENTIALS_TOO_LONG = "credentials_too_long"
    FORBIDDEN = "forbidden"
    NO_SUCH_PATH = "no_such_path"
    NO_VIDEO = "no_video"
    UNSUPPORTED_CODEC = "unsupported_codec"
    REDIRECTED = "redirected"
    CONTROL_ELSEWHERE = "control_elsewhere"
    ADDRESS_REFUSED = "address_refused"
    SOURCE_REFUSED = "source_refused"
    SOURCE_UNUSABLE = "source_unusable"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a reason means to an owner, and to the reader that met it."""

    phase: Phase
    pace: Pace
    sentence: str


def _idle(sentence: str) -> Treatment:
    return Treatment(Phase.IDLE, Pace.AT_ONCE, sentence)


def _retrying(sentence: str, pace: Pace = Pace.GROWING) -> Treatment:
    return Treatment(Phase.RETRYING, pace, sentence)


def _refused(sentence: str, pace: Pace = Pace.SLOW) -> Treatment:
    return Treatment(Phase.REFUSED, pace, sentence)


TREATMENTS = {
    Reason.NOT_DEMANDED: _idle("Nobody is looking."),
    Reason.SHARING_PAUSED: _idle("The owner has paused sharing."),
    Reason.SHARING_STOPPED: _idle("No sharing authorisation is in force."),
    Reason.CAMERA_REMOVED: _idle("The owner has removed the camera."),
    Reason.CAMERA_UNKNOWN: _idle("The camera's record cannot be read; nothing is known of its owner's will."),
    Reason.STATE_NOT_FRESH: _idle(
        "It is not known whether the owner still shares; nothing is read until it is."
    ),
    Reason.RENDITION_UNAVAILABLE: _idle("This rendition of the camera does not exist."),
    Reason.WORKER_ENDED: _idle("The ingest worker was shut down."),
    Reason.SOURCE_CHANGED: _retrying("The source was changed; connecting to the new one.", Pace.AT_ONCE),
    Reason.FORMAT_CHANGED: _retrying(
        "The camera's pictures changed their form; connecting anew.", Pace.AT_ONCE
    ),
    Reason.WORKER_PAUSED: _retrying(
        "The ingest worker did not run for a moment; connecting anew.", Pace.AT_ONCE
    ),
    Reason.UNREACHABLE: _retrying("The camera does not accept connections. Is it on, and is the port right?"),
    Reason.TIMED_OUT: _retrying("The camera did not answer in time."),
    Reason.NAME_UNRESOLVED: _retrying("The source's host name has no address."),
    Reason.SOURCE_UNAVAILABLE: _retrying("The source could not be fetched from registry."),
    Reason.CAMERA_BUSY: _retrying("The camera has no connection to spare."),
    Reason.CAMERA_ERROR: _retrying("The camera reported an error."),
    Reason.PROTOCOL_ERROR: _retrying("The camera's answer is no RTSP that could be understood."),
    Reason.DROPPED_BY_CAMERA: _retrying("The camera ended the connection."),
    Reason.STALLED: _retrying("The camera stopped sending while connected."),
    Reason.NO_KEYFRAME: _retrying(
        "The camera sends no keyframes. Set an I-frame interval of 1 to 3 seconds."
    ),
    Reason.CAMERA_CLOCK_STEPPED: _retrying("The camera's picture times jumped."),
    Reason.INTERNAL_ERROR: _retrying("The ingest worker failed on this camera; its log says more."),
    Reason.WRONG_PASSWORD: _refused("The camera refuses the user name or password."),
    Reason.PASSWORD_NEEDED: _refused("The camera asks for a user name and password; the source has none."),
    Reason.UNSUPPORTED_AUTHENTICATION: _refused(
        "The camera asks for a login other than Basic or Digest with MD5."
    ),
    Reason.CREDENTIALS_TOO_LONG: _refused(
        "User name and password are too long together; allowed 127 bytes, encoded."
    ),
    Reason.FORBIDDEN: _refused("The camera forbids this user to see the stream."),
    Reason.NO_SUCH_PATH: _refused("The camera has no stream at the source's path."),
    Reason.NO_VIDEO: _refused("The source has no video track."),
    Reason.UNSUPPORTED_CODEC: _refused("The camera does not offer H.264."),
    Reason.REDIRECTED: _refused("The camera redirects, which is not followed."),
    Reason.CONTROL_ELSEWHERE: _refused("The camera's description leads elsewhere, which is not followed."),
    Reason.ADDRESS_REFUSED: _refused("The source's address is not allowed in this pool."),
    Reason.SOURCE_REFUSED: _refused("Registry does not give out this camera's source.", Pace.GROWING),
    Reason.SOURCE_UNUSABLE: _refused("The stored source cannot be used. Enter it again."),
}
"""One for every reason."""


class FeedError(FeedgateError):
    """A run ended or did not begin; says why without address, path or credentials."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Args: detail: what was seen, where the reason's own sentence leaves it open."""
        self.reason = reason
        self.detail = f"{TREATMENTS[reason].sentence} {detail}".strip()
        super().__init__(f"{reason}: {self.detail}")
