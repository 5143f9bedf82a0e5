"""One operator's open live view: its right, its two sockets, and what it is told."""

import json
from collections.abc import Callable
from typing import Any, Final

from feedgate_contracts.audit.v1.audit_pb2 import Usage
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_REFUSED, FEED_PHASE_RETRYING, FeedState
from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_CAMERA_LOST,
    NOTICE_CODE_EXPIRING,
    NOTICE_CODE_GAP,
    NOTICE_CODE_NOT_FRESH,
    NOTICE_CODE_RESUMED,
    NOTICE_CODE_STARTED,
    NOTICE_CODE_STOPPED,
    NOTICE_CODE_VIEW_ENDED,
    NOTICE_CODE_WAITING_FOR_KEYFRAME,
    NoticeCode,
)
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import FeedgateError
from feedgate_relay.admission import Limits
from feedgate_relay.audit_trail import ViewAudit
from feedgate_relay.close_codes import close_code
from feedgate_relay.delivery import Delivery
from feedgate_relay.frame_events import GrantEvents
from feedgate_relay.hub import StreamHub
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.notices import sentence, wire_code, wire_time
from feedgate_relay.picture import Picture
from feedgate_relay.ports import Connection
from feedgate_relay.reasons import Reason
from feedgate_relay.states import States
from feedgate_relay.ticket import Ticket
from feedgate_relay.windows import Shut, Window, open_window, shut_window
from feedgate_relay.wire import lease_frame, text_frame

LEASE_MS: Final = 3000
"""A page without a lease for this long covers itself; leases come every second."""
MEDIA_WITHIN_S: Final = 10.0
"""How long the secret in `hello` opens the media socket."""
ABORT_AFTER_S: Final = 0.25
"""What a viewer has not taken this long after a stop is discarded."""
DARK_WITHIN_S: Final = 1.0
"""How long after `stopped` the notice socket waits for the page's `dark`."""
LOST_AFTER_S: Final = 3.0
"""Without a picture for this long, the camera counts as lost."""
LOST_AND_SAID_AFTER_S: Final = 1.0
"""The same where ingest has said that it cannot reach the camera."""
NOTICES_STALLED_AFTER_S: Final = 3.0
"""A page that takes no notices for this long has covered itself; its view ends."""
EXPIRING_US: Final = 60 * MICROSECONDS
USAGE_EVERY_S: Final = 10.0
LONGEST_DARK_MS: Final = 600_000


class View:
    """Opened by a ticket over the notices socket.

    Pictures flow once the media socket is there and its beginning is on record.
    """

    def __init__(
        self,
        *,
        view_id: str,
        ticket: Ticket,
        grant: GrantState,
        notices: Connection,
        hub: StreamHub,
        states: States,
        events: GrantEvents,
        audit: ViewAudit,
        clock: Clock,
        limits: Limits,
        metrics: RelayMetrics,
        on_ended: Callable[["View"], None],
    ) -> None:
        self.view_id = view_id
        self.ticket = ticket
        self.grant = grant
        self.hub = hub
        self.events = events
        self.audit = audit
        self.delivery = Delivery(gate=states, newest=hub.newest, clock=clock, metrics=metrics, listener=self)
        self.view_until_us = ticket.view_until_us
        self.ended = False
        self.right_is_live = False
        self._notices = notices
        self._media: Connection | None = None
        self._states = states
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._on_ended = on_ended
        self._number = 0
        self._opened_s = clock.monotonic_s()
        self._live_since_s = self._opened_s
        self._covered: tuple[NoticeCode, str] | None = None
        self._has_started = False
        self._expiring_told_us = 0
        self._dark_expected: str | None = None
        self._notices_stuck_s: float | None = None
        self._usage_s = self._opened_s
        self._used_pictures = 0
        self._counted = (0, 0)
        self._ended_s = 0.0
        self.end_reason = ""
        self._closing: tuple[int | None, int] | None = None  # commit and reading of the record that ends it
        self._finished = False
        notices.on_lost = self._notices_lost

    # In the order of a view's life.

    def greet(self, media_secret: str) -> None:
        """Say hello: the first message of the notices socket."""
        hello: dict[str, Any] = {
            "n": 0,
            "type": "hello",
            "view_id": self.view_id,
            "grant_id": self.ticket.grant_id,
            "stream": self.ticket.stream,
            "lease_ms": LEASE_MS,
            "media_secret": media_secret,
            "view_until": wire_time(self.view_until_us),
        }
        if self.hub.codec is not None:
            hello["codec"] = self.hub.codec
        self._notices.write(text_frame(hello))
        self._number = 1
        self.reassess()

    @property
    def wants_media(self) -> bool:
        """Whether its media socket has not been opened yet."""
        return not self.ended and self._media is None

    async def open_media(self, connection: Connection) -> None:
        """The media socket is there: put the view on record, then let pictures flow."""
        self._media = connection
        connection.on_lost = self._media_lost
        if connection.lost:
            self._media_lost()
            return
        try:
            await self.audit.started()
        except FeedgateError:
            self.end(NOTICE_CODE_VIEW_ENDED, Reason.AUDIT_UNAVAILABLE)
            return
        if not self.ended:
            self.delivery.begin(connection)
            self._live_since_s = self._clock.monotonic_s()
            self.reassess()

    @property
    def demands(self) -> bool:
        """Whether somebody looks and may: then, and only then, the camera may be touched."""
        return self.right_is_live and self.delivery.open

    def reassess(self) -> None:
        """Work out the window anew from the records in force, and act on it."""
        if self.ended:
            return
        window = self._window()
        was_live = self.right_is_live
        fresh = self._states.fresh()
        self.delivery.window = window
        self.right_is_live = window.shut is None and fresh
        # A clock that no heartbeat agrees with may be wrong: it shows nothing, but it ends nothing either.
        if window.shut is not None and (fresh or not window.shut.by_clock):
            self._shut(window.shut)
        elif not self.right_is_live:
            self._cover(NOTICE_CODE_NOT_FRESH, Reason.HEARTBEAT_OLD)
        else:
            if not was_live:
                self._live_since_s = self._clock.monotonic_s()
            self._warn_of_end(window)
            self._look_for_pictures()

    def records_changed(self, committed_at_us: int | None) -> None:
        """The camera's or the grant's record has changed; `committed_at_us` is when, where that is known."""
        was_live = self.right_is_live
        self._closing = (committed_at_us, self._clock.now_us()) if was_live else None
        self.reassess()
        if not self.ended:
            if not self.right_is_live:
                self._observe_dark()
            self._closing = None

    def check(self) -> None:
        """What time alone changes; called a few times a second."""
        if self.ended:
            return
        now_us, now_s = self._clock.now_us(), self._clock.monotonic_s()
        if self._media is None and now_s - self._opened_s > MEDIA_WITHIN_S:
            self.end(NOTICE_CODE_VIEW_ENDED, Reason.MEDIA_NOT_OPENED)
            return
        if self._notices_stalled(now_s):
            self.end(NOTICE_CODE_VIEW_ENDED, Reason.VIEWER_STALLED)
            return
        self.delivery.drop_stalled()
        window = self.delivery.window
        if (
            window.shut is not None
            or now_us >= window.closes_at_us
            or self.right_is_live != self._states.fresh()
        ):
            self.reassess()
        elif self.right_is_live:
            self._warn_of_end(window)
            self._look_for_pictures()
        if not self.ended and now_s - self._usage_s >= USAGE_EVERY_S:
            self._usage_s = now_s
            if self.delivery.pictures != self._used_pictures:
                self._used_pictures = self.delivery.pictures
                self.audit.used(self._usage())

    def lease(self) -> None:
        """Tell the page that what it was told still holds."""
        if not self.ended:
            self._notices.write(lease_frame(self._number))
            self._number += 1
            self._metrics.leases.inc()
            self._count_pictures()

    def extend(self, ticket: Ticket) -> None:
        """Watch on with a later ticket, which the caller has found to be for the same view."""
        self.view_until_us = max(self.view_until_us, ticket.view_until_us)
        self._say({"type": "ticket", "accepted": True, "view_until": wire_time(self.view_until_us)})
        self.reassess()

    def refuse_extension(self, reason: str) -> None:
        """A ticket sent in-band was not taken; the view goes on as before."""
        self._say({"type": "ticket", "accepted": False, "reason": reason})

    def hear(self, text: str) -> str | None:
        """A message of the page. Gives back a ticket it sent, which the caller has to verify."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        match kind:
            case "ticket" if isinstance(message.get("ticket"), str) and not self.ended:
                token: str = message["ticket"]
                return token
            case "ticket" if self.ended:
                pass
            case "dark" if type(message.get("ms")) is int and message["ms"] >= 0:
                self._acknowledge_dark(message["ms"])
            case "hidden":
                self.delivery.hidden = True
                self.delivery.cover()
            case "visible":
                if self.delivery.hidden:
                    self.delivery.hidden = False
                    self._covered = None
                    self._live_since_s = self._clock.monotonic_s()
                    self.reassess()
            case "close":
                self.end(NOTICE_CODE_VIEW_ENDED, Reason.CLOSED_BY_VIEWER)
            case _:
                self.end(NOTICE_CODE_VIEW_ENDED, Reason.BAD_MESSAGE)
        return None

    def end(self, code: NoticeCode, reason: str) -> None:
        """Show nothing more, for ever, and say why. What waits for the viewer is discarded."""
        if self.ended:
            return
        self.ended = True
        self.right_is_live = False
        self._ended_s = self._clock.monotonic_s()
        self.end_reason = reason
        self.delivery.window = shut_window(Shut(code, reason))
        # What the kernel has not taken yet would be shown after the notice: it is cut off in its middle.
        drain_s = 0.0 if self.delivery.blocked else ABORT_AFTER_S
        self.delivery.cease()
        if self._media is not None:
            self._media.end(close_code(reason), reason, drain_s)
        self._tell(code, reason, sentence(reason))
        if code != NOTICE_CODE_STOPPED or self._media is None:
            self._end_notices()
        self._on_ended(self)
        if self._media is None:
            self._finish()

    def close_when_due(self) -> bool:
        """After the end: close the notices socket once the page has had its time for `dark`.

        True when all is done.
        """
        if self._clock.monotonic_s() - self._ended_s >= DARK_WITHIN_S:
            self._end_notices()
            return True
        return False

    # What delivery tells.

    def pictures_begin(self, picture: Picture) -> None:
        code = NOTICE_CODE_RESUMED if self._has_started else NOTICE_CODE_STARTED
        self._has_started = True
        self._covered = None
        extra = {} if picture.init is None else {"codec": picture.init.codec}
        self._tell(code, "", "", **extra)

    def picture_written(self, picture: Picture) -> None:
        self.events.delivered(picture)

    def gap(self, reason: str) -> None:
        self._tell(NOTICE_CODE_GAP, reason, sentence(reason))

    def connection_closed(self, *, by_viewer: bool) -> None:
        """One of the sockets has ended, which ends the view."""
        reason = Reason.CLOSED_BY_VIEWER if by_viewer else Reason.CONNECTION_LOST
        self.end(NOTICE_CODE_VIEW_ENDED, reason)

    # Below its first use.

    def _window(self) -> Window:
        camera: CameraState | None = self._states.cameras.get(self.ticket.camera_id)
        return open_window(
            camera,
            self._states.grants.get(self.ticket.grant_id),
            self.ticket,
            self._limits,
            view_until_us=self.view_until_us,
            now_us=self._clock.now_us(),
            camera_read_to_us=self._states.camera_read_to_us,
        )

    def _shut(self, shut: Shut) -> None:
        if shut.for_ever:
            self.end(shut.code, shut.reason)
            return
        until = "" if shut.until_us is None else f" Pictures may come from {wire_time(shut.until_us)} on."
        self._cover(shut.code, shut.reason, until)

    def _cover(self, code: NoticeCode, reason: str, more: str = "") -> None:
        if self._covered == (code, reason):
            return
        self._covered = (code, reason)
        self.delivery.cover()
        self._tell(code, reason, sentence(reason) + more)

    def _look_for_pictures(self) -> None:
        delivery = self.delivery
        if not delivery.open or delivery.hidden:
            return
        now_s = self._clock.monotonic_s()
        heard_s = self.hub.last_picture_s
        silent_s = now_s - (self._live_since_s if heard_s is None else max(heard_s, self._live_since_s))
        feed = self._states.feeds.get(self.ticket.stream)
        troubled = feed is not None and feed.phase in {FEED_PHASE_RETRYING, FEED_PHASE_REFUSED}
        if silent_s >= (LOST_AND_SAID_AFTER_S if troubled else LOST_AFTER_S):
            self._cover_lost(feed if troubled else None)
        elif delivery.shown:
            if now_s - max(delivery.last_picture_s, self._live_since_s) >= LOST_AFTER_S:
                self._cover_waiting()
        elif delivery.needs_keyframe and not delivery.join(self.hub.gop.pictures) and not self._seeks:
            self._cover_waiting()

    @property
    def _seeks(self) -> bool:
        """Whether the viewer was told that pictures are looked for."""
        return self._covered is not None and self._covered[0] in _SEEKING

    def _cover_lost(self, feed: FeedState | None) -> None:
        if feed is None:
            self._cover(NOTICE_CODE_CAMERA_LOST, Reason.NO_PICTURES)
        else:
            self._cover(NOTICE_CODE_CAMERA_LOST, feed.reason or Reason.NO_PICTURES, feed.detail)

    def _cover_waiting(self) -> None:
        interval_s = self.hub.keyframe_interval_s
        more = "" if interval_s is None else f" They come every {interval_s:.1f} s."
        why = Reason.VIEWER_TOO_SLOW if self.delivery.blocked else self.delivery.last_refusal
        self._cover(NOTICE_CODE_WAITING_FOR_KEYFRAME, why or Reason.NO_KEYFRAME, more)

    def _warn_of_end(self, window: Window) -> None:
        if self._expiring_told_us == window.closes_at_us or window.closes_because is None:
            return
        if window.closes_at_us - self._clock.now_us() <= EXPIRING_US:
            self._expiring_told_us = window.closes_at_us
            self._tell(
                NOTICE_CODE_EXPIRING,
                window.closes_because,
                f"Pictures end at {wire_time(window.closes_at_us)}.",
            )

    def _notices_stalled(self, now_s: float) -> bool:
        if self._notices.can_write:
            self._notices_stuck_s = None
            return False
        if self._notices_stuck_s is None:
            self._notices_stuck_s = now_s
        return now_s - self._notices_stuck_s >= NOTICES_STALLED_AFTER_S

    def _acknowledge_dark(self, milliseconds: int) -> None:
        # One for each time the page was told to cover: a page cannot fill the audit log.
        if self._dark_expected is not None:
            self.audit.dark(min(milliseconds, LONGEST_DARK_MS), self._dark_expected)
            self._dark_expected = None
            self._metrics.dark_acknowledged.inc()
        if self.ended:
            self._end_notices()

    def _tell(self, code: NoticeCode, reason: str, detail: str, **extra: str) -> None:
        name = wire_code(code)
        at = wire_time(self._clock.now_us())
        self._say({"type": "notice", "code": name, "reason": reason, "detail": detail, "at": at, **extra})
        if code not in _UNCOVERED:
            self._dark_expected = name
        self._metrics.notices.labels(name).inc()
        self.events.notice(code, reason, detail, self.view_id)

    def _say(self, message: dict[str, Any]) -> None:
        self._notices.write(text_frame({"n": self._number, **message}))
        self._number += 1

    def _end_notices(self) -> None:
        reason = self.end_reason
        self._notices.end(close_code(reason), reason, DARK_WITHIN_S)

    def _notices_lost(self) -> None:
        self.connection_closed(by_viewer=False)

    def _media_lost(self) -> None:
        self.delivery.lost()
        if self.ended:
            self._finish()
        else:
            self.connection_closed(by_viewer=False)
            self._finish()

    def _finish(self) -> None:
        """Nothing more of this view reaches the kernel: say when that was."""
        if self._finished:
            return
        self._finished = True
        self._count_pictures()
        self._observe_dark()
        self.audit.ended(self._usage(), self.end_reason, self.delivery.last_byte_at_us)

    def _observe_dark(self) -> None:
        if self._closing is None:
            return
        committed_at_us, closed_at_us = self._closing
        self._closing = None
        if committed_at_us is not None:
            dark_us = max(closed_at_us, self.delivery.last_byte_at_us)
            self._metrics.withdrawal_to_dark.observe(max(0, dark_us - committed_at_us) / MICROSECONDS)

    def _usage(self) -> Usage:
        delivery = self.delivery
        usage = Usage(pictures=delivery.pictures, bytes=delivery.bytes)
        if delivery.pictures:
            usage.first_picture_at.FromMicroseconds(delivery.first_picture_at_us)
            usage.last_picture_at.FromMicroseconds(delivery.last_picture_at_us)
        return usage

    def _count_pictures(self) -> None:
        pictures, size = self._counted
        self._counted = (self.delivery.pictures, self.delivery.bytes)
        self._metrics.pictures_out.inc(self._counted[0] - pictures)
        self._metrics.bytes_out.inc(self._counted[1] - size)


_SEEKING: Final = frozenset({NOTICE_CODE_WAITING_FOR_KEYFRAME, NOTICE_CODE_CAMERA_LOST})
_UNCOVERED: Final = frozenset(
    {NOTICE_CODE_STARTED, NOTICE_CODE_RESUMED, NOTICE_CODE_EXPIRING, NOTICE_CODE_GAP}
)
