"""What one viewer is told, over the notices socket: numbered, each thing once, and noticed when not taken."""

from collections.abc import Mapping
from typing import Any, Final

from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_CAMERA_LOST,
    NOTICE_CODE_EXPIRING,
    NOTICE_CODE_RESUMED,
    NOTICE_CODE_STARTED,
    NOTICE_CODE_WAITING_FOR_KEYFRAME,
    NoticeCode,
)
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_relay.close_codes import close_code
from feedgate_relay.frame_events import GrantEvents
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.notices import wire_code, wire_time
from feedgate_relay.ports import Connection
from feedgate_relay.windows import Window
from feedgate_relay.wire import lease_frame, text_frame

DARK_WITHIN_S: Final = 1.0
"""How long after `stopped` the notice socket waits for the page's `dark`."""
STALLED_AFTER_S: Final = 3.0
"""A page that takes no notices for this long has covered itself; its view ends."""
EXPIRING_US: Final = 60 * MICROSECONDS

_SEEKING: Final = frozenset({NOTICE_CODE_WAITING_FOR_KEYFRAME, NOTICE_CODE_CAMERA_LOST})


class NoticeSocket:
    """A view's notices. What the page is told, its agency is told too.

    A connection may find out that it is lost while it is written to, so any
    of these may end the view.
    """

    def __init__(
        self,
        connection: Connection,
        events: GrantEvents,
        view_id: str,
        *,
        clock: Clock,
        metrics: RelayMetrics,
    ) -> None:
        self._connection = connection
        self._events = events
        self._view_id = view_id
        self._clock = clock
        self._metrics = metrics
        self._number = 0
        self._covered: tuple[NoticeCode, str] | None = None
        self._has_started = False
        self._expiring_told_us = 0
        self._stuck_s: float | None = None

    @property
    def seeks(self) -> bool:
        """Whether the viewer was told that pictures are looked for."""
        return self._covered is not None and self._covered[0] in _SEEKING

    def covers_for(self, code: NoticeCode, reason: str) -> bool:
        """Whether just this is what the viewer was told last of its cover."""
        return self._covered == (code, reason)

    def say(self, message: Mapping[str, Any]) -> None:
        """The next message of any type."""
        self._connection.write(text_frame({"n": self._number, **message}))
        self._number += 1

    def lease(self) -> None:
        """What the page was told still holds."""
        self._connection.write(lease_frame(self._number))
        self._number += 1
        self._metrics.leases.inc()

    def tell(self, code: NoticeCode, reason: str, detail: str, **extra: str) -> None:
        """The next notice."""
        name = wire_code(code)
        at = wire_time(self._clock.now_us())
        self.say({"type": "notice", "code": name, "reason": reason, "detail": detail, "at": at, **extra})
        self._metrics.notices.labels(name).inc()
        self._events.notice(code, reason, detail, self._view_id)

    def tell_cover(self, code: NoticeCode, reason: str, detail: str) -> None:
        """No pictures come, for this reason, until it is told otherwise."""
        self._covered = (code, reason)
        self.tell(code, reason, detail)

    def tell_pictures(self, **extra: str) -> None:
        """Pictures come now."""
        code = NOTICE_CODE_RESUMED if self._has_started else NOTICE_CODE_STARTED
        self._has_started = True
        self._covered = None
        self.tell(code, "", "", **extra)

    def forget_cover(self) -> None:
        """The page asks anew: what it was told of its cover is told again if it still holds."""
        self._covered = None

    def warn_of_end(self, window: Window) -> None:
        """Pictures end soon and for what; told once of each end."""
        if self._expiring_told_us == window.closes_at_us or window.closes_because is None:
            return
        if window.closes_at_us - self._clock.now_us() <= EXPIRING_US:
            self._expiring_told_us = window.closes_at_us
            detail = f"Pictures end at {wire_time(window.closes_at_us)}."
            self.tell(NOTICE_CODE_EXPIRING, window.closes_because, detail)

    def is_stalled(self, now_s: float) -> bool:
        """Whether the page has taken nothing for too long; to be asked a few times a second."""
        if self._connection.can_write:
            self._stuck_s = None
            return False
        if self._stuck_s is None:
            self._stuck_s = now_s
        return now_s - self._stuck_s >= STALLED_AFTER_S

    def end(self, reason: str) -> None:
        """Close the socket with the code of this reason."""
        self._connection.end(close_code(reason), reason, DARK_WITHIN_S)
