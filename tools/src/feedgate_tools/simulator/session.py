"""What one client has set up, and how pictures reach it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from feedgate_tools.simulator.outlet import Outlet
from feedgate_tools.simulator.sdp import Track

_MOST_BACKLOG_BYTES = 1 << 20
"""Some three seconds at 2.5 Mb/s; a client that is further behind loses pictures up to the next keyframe."""


@dataclass(eq=False, slots=True)
class Session:
    """One RTSP session, RFC 2326 §3.4; it ends with its connection."""

    outlet: Outlet
    session_id: str = field(default_factory=lambda: secrets.token_hex(8))
    channels: dict[Track, int] = field(default_factory=dict)
    """The even one of each track's pair; the odd one above carries RTCP."""
    waiting_for_keyframe: bool = True
    report_due_s: float = 0.0
    """When the next RTCP sender report is due, on the loop's clock; at once at first."""

    @property
    def is_behind(self) -> bool:
        return self.outlet.backlog_bytes > _MOST_BACKLOG_BYTES

    @property
    def wants_keyframe(self) -> bool:
        """Whether a keyframe now would be of use to it."""
        return self.waiting_for_keyframe and not self.is_behind
