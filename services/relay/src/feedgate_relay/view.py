"""One operator's open live view: its right, its two sockets, and what it is told."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_REFUSED, FEED_PHASE_RETRYING, FeedState
from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_CAMERA_LOST,
    NOTICE_CODE_GAP,
    NOTICE_CODE_NOT_FRESH,
    NOTICE_CODE_STOPPED,
    NOTICE_CODE_VIEW_ENDED,
    NOTICE_CODE_WAITING_FOR_KEYFRAME,
    NoticeCode,
)
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_relay.admission import Limits
from feedgate_relay.audit_trail import ViewAudit
from feedgate_relay.close_codes import close_code
from feedgate_relay.darkness import Darkness
from feedgate_relay.delivery import Delivery
from feedgate_relay.frame_events import GrantEvents
from feedgate_relay.hub import StreamHub
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.notice_socket import DARK_WITHIN_S, NoticeSocket
from feedgate_relay.notices import sentence, wire_time
from feedgate_relay.picture import Picture
from feedgate_relay.ports import Connection
from feedgate_relay.reasons import Reason
from feedgate_relay.states import States
from feedgate_relay.ticket import Ticket
from feedgate_relay.usage import UsageMeter
from feedgate_relay.windows import Shut, Window, shut_window

LEASE_MS: Final = 3000
"""A page without a lease for this long covers itself; leases come every second."""
MEDIA_WITHIN_S: Final = 10.0
"""How long the secret in `hello` opens the media socket."""
ABORT_AFTER_S: Final = 0.25
"""What a viewer has not taken this long after a stop is discarded."""
RECORDED_WITHIN_S: Final = 5.0
"""A view whose beginning the bus does not take for this long is not opened."""
LOST_AFTER_S: Final = 3.0
"""Without a picture for this long, the camera counts as lost."""
LOST_AND_SAID_AFTER_S: Final = 1.0
"""The same where ingest has said that it cannot reach the camera."""
CAMERA_TROUBLED: Final = "No pictures come from the camera; its owner is told why."


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
        self._notices = NoticeSocket(notices, events, view_id, clock=clock, metrics=metrics)
        self._darkness = Darkness(self.delivery, audit, clock=clock, metrics=metrics)
        self._usage = UsageMeter(self.delivery, audit, clock=clock, metrics=metrics)
        self._media: Connection | None = None
        self._states = states
        self._clock = clock
        self._limits = limits
        self._on_ended = on_ended
        self._opened_s = clock.monotonic_s()
        self._live_since_s = self._opened_s
        self._ended_s = 0.0
        self.end_reason = ""
        self._finished = False
        notices.on_lost = self._notices_lost

    # In the order of a view's life.

    def greet(self, media_secret: str, media_path: str) -> None:
        """Say hello: the first message of the notices socket."""
        hello: dict[str, Any] = {
            "type": "hello",
            "view_id": self.view_id,
            "grant_id": self.ticket.grant_id,
            "stream": self.ticket.stream,
            "lease_ms": LEASE_MS,
            "media_path": media_path,
            "media_secret": media_secret,
            "view_until": wire_time(self.view_until_us),
        }
        if self.hub.codec is not None:
            hello["codec"] = self.hub.codec
        self._notices.say(hello)
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
            async with asyncio.timeout(RECORDED_WITHIN_S):
                await self.audit.started()
        except (FeedgateError, TimeoutError):
            self.end(NOTICE_CODE_VIEW_ENDED, Reason.AUDIT_UNAVAILABLE)
            return
        if not self.ended:
            self.delivery.begin(connection)
            self._live_since_s = self._clock.monotonic_s()
            self.reassess()

    @property
    def demands(self) -> bool:
        """Whether somebody looks and may: then, and only then, the camera may be touched."""
        return self.right_is_live and self.delivery.is_open

    @property
    def dark_reason(self) -> str | None:
        """Why its right shows nothing now; None while it does."""
        if self.right_is_live:
            return None
        shut = self.delivery.window.shut
        return Reason.HEARTBEAT_OLD if shut is None else shut.reason

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
            self._notices.warn_of_end(window)
            self._look_for_pictures()

    def records_changed(self, committed_at_us: int | None) -> None:
        """The camera's or the grant's record has changed; `committed_at_us` is when, where that is known."""
        if self.right_is_live:
            self._darkness.record_read(committed_at_us)
        self.reassess()
        if not self.ended:
            self._darkness.record_settled(is_dark=not self.right_is_live)

    def check(self) -> None:
        """What time alone changes; called a few times a second."""
        if self.ended:
            return
        now_us, now_s = self._clock.now_us(), self._clock.monotonic_s()
        if self._media is None and now_s - self._opened_s > MEDIA_WITHIN_S:
            self.end(NOTICE_CODE_VIEW_ENDED, Reason.MEDIA_NOT_OPENED)
            return
        if self._notices.is_stalled(now_s):
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
            self._notices.warn_of_end(window)
            self._look_for_pictures()
        if not self.ended:
            self._usage.report_when_due(now_s)

    def lease(self) -> None:
        """Tell the page that what it was told still holds."""
        if not self.ended:
            self._notices.lease()
            self._usage.count()

    def extend(self, ticket: Ticket) -> None:
        """Watch on with a later ticket, which the caller has found to be for the same view."""
        if self.ended:
            return
        self.view_until_us = max(self.view_until_us, ticket.view_until_us)
        self._notices.say({"type": "ticket", "accepted": True, "view_until": wire_time(self.view_until_us)})
        self.reassess()

    def refuse_extension(self, reason: str) -> None:
        """A ticket sent in-band was not taken; the view goes on as before."""
        self._notices.say({"type": "ticket", "accepted": False, "reason": reason})

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
                if self._darkness.acknowledge(message["ms"], message.get("code")) and self.ended:
                    self._notices.end(self.end_reason)
            case "hidden":
                self.delivery.hidden = True
                self.delivery.cover()
                self.events.flush()
            case "visible":
                if self.delivery.hidden:
                    self.delivery.hidden = False
                    self._notices.forget_cover()
                    self._live_since_s = self._clock.monotonic_s()
                    self.reassess()
            case "close":
                self.end(NOTICE_CODE_VIEW_ENDED, Reason.CLOSED_BY_VIEWER)
            case _:
                self.end(NOTICE_CODE_VIEW_ENDED, Reason.BAD_MESSAGE)
        return None

    def connection_closed(self, *, by_viewer: bool) -> None:
        """One of the sockets has ended, which ends the view."""
        reason = Reason.CLOSED_BY_VIEWER if by_viewer else Reason.CONNECTION_LOST
        self.end(NOTICE_CODE_VIEW_ENDED, reason)

    def end(self, code: NoticeCode, reason: str) -> None:
        """Show nothing more, for ever, and say why. What waits for the viewer is discarded."""
        if self.ended:
            return
        self.ended = True
        self.right_is_live = False
        self._ended_s = self._clock.monotonic_s()
        self.end_reason = reason
        self.delivery.window = shut_window(Shut(code, reason))
        if self._media is not None and self._media.has_unsent():
            # It would be shown after the notice: it is cut off in its middle.
            self._end_media(0.0)
        self.delivery.cease()
        self._notices.tell(code, reason, sentence(reason))
        self._darkness.expect(code)
        if code != NOTICE_CODE_STOPPED or self._media is None:
            self._notices.end(reason)
        self._on_ended(self)
        if self._media is None:
            self._finish()

    def hang_up(self) -> None:
        """After the end, when every view has been told: close the media socket, which gets no more pictures."""
        self._end_media(ABORT_AFTER_S)

    def close_when_due(self) -> bool:
        """After the end: close the notices socket once the page has had its time for `dark`.

        True when all is done.
        """
        if self._clock.monotonic_s() - self._ended_s >= DARK_WITHIN_S:
            self._notices.end(self.end_reason)
            return True
        return False

    # What delivery tells.

    def pictures_begin(self, picture: Picture) -> None:
        extra = {} if picture.init is None else {"codec": picture.init.codec}
        self._notices.tell_pictures(**extra)

    def picture_written(self, picture: Picture) -> None:
        self.events.delivered(picture)

    def gap(self, reason: str) -> None:
        self._notices.tell(NOTICE_CODE_GAP, reason, sentence(reason))

    # How it is covered and ended.

    def _end_media(self, drain_s: float) -> None:
        if self._media is not None:
            self._media.end(close_code(self.end_reason), self.end_reason, drain_s)

    def _window(self) -> Window:
        return self._states.window(self.ticket, self._limits, self.view_until_us, self._clock.now_us())

    def _shut(self, shut: Shut) -> None:
        if shut.for_ever:
            self.end(shut.code, shut.reason)
            return
        until = "" if shut.until_us is None else f" Pictures may come from {wire_time(shut.until_us)} on."
        self._cover(shut.code, shut.reason, until)

    def _cover(self, code: NoticeCode, reason: str, more: str = "") -> None:
        if self._notices.covers_for(code, reason):
            return
        self.delivery.cover()
        self._notices.tell_cover(code, reason, sentence(reason) + more)
        self._darkness.expect(code)

    def _look_for_pictures(self) -> None:
        delivery = self.delivery
        if not delivery.is_open or delivery.hidden:
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
        elif delivery.needs_keyframe and not delivery.join(self.hub.gop.pictures) and not self._notices.seeks:
            self._cover_waiting()

    def _cover_lost(self, feed: FeedState | None) -> None:
        if feed is None:
            self._cover(NOTICE_CODE_CAMERA_LOST, Reason.NO_PICTURES)
        else:  # with a sentence of our own: the feed's is for the owner
            self._cover(NOTICE_CODE_CAMERA_LOST, feed.reason or Reason.NO_PICTURES, CAMERA_TROUBLED)

    def _cover_waiting(self) -> None:
        interval_s = self.hub.keyframe_interval_s
        more = "" if interval_s is None else f" Keyframes come every {interval_s:.1f} s."
        why = Reason.VIEWER_TOO_SLOW if self.delivery.blocked else self.delivery.last_refusal
        self._cover(NOTICE_CODE_WAITING_FOR_KEYFRAME, why or Reason.NO_KEYFRAME, more)

    def _notices_lost(self) -> None:
        self.connection_closed(by_viewer=False)

    def _media_lost(self) -> None:
        self.delivery.connection_ended()
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
        self._usage.count()
        self._darkness.ended(self._usage.so_far(), self.end_reason)
