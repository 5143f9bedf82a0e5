"""What is wrong with a camera right now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ControlLevel(StrEnum):
    """Where a description can send a client elsewhere; RFC 2326 appendix C.1.1 gives them all a say."""

    TRACK = "track"
    SESSION = "session"
    CONTENT_BASE = "content-base"


@dataclass(slots=True)
class Faults:
    """The faults of one camera; a new one has none."""

    is_frozen: bool = False
    """Nothing is written any more, connections stay open."""
    refuses_credentials: bool = False
    """Every request is answered with 401."""
    withholds_keyframes: bool = False
    """Only pictures that need another one are sent."""
    redirects_to: str | None = None
    """DESCRIBE is answered with 302 and this Location."""
    control_elsewhere: str | None = None
    """The description names this URL as the one to control."""
    control_level: ControlLevel = ControlLevel.TRACK
    refuses_until_s: float = 0.0
    """Connections are closed unanswered until then, on the loop's clock."""
