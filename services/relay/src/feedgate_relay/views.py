"""All open views: opened by tickets, touched by records, told by timers."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.frame.v1.frame_pb2 import (
    NOTICE_CODE_NOT_FRESH,
    NOTICE_CODE_VIEW_ENDED,
    FrameEvent,
)
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.ids import new_id
from feedgate_kit.supervise import supervise
from feedgate_kit.topics import ACCESS_UNITS, frame_events
from feedgate_relay.admission import Limits
from feedgate_relay.audit_trail import ViewAudit
from feedgate_relay.frame_events import GrantEvents
from feedgate_relay.hub import StreamHub
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.outgoing import Outgoing
from feedgate_relay.ports import Connection
from feedgate_relay.reasons import Reason
from feedgate_relay.redemption import Redemptions
from feedgate_relay.states import CommittedCopy, States
from feedgate_relay.ticket import Ticket, TicketError
from feedgate_relay.view import View
from feedgate_relay.windows import Shut

LEASE_S: Final = 1.0
CHECK_S: Final = 0.25
RECORDS_WITHIN_S: Final = 2.0
"""How long a ticket may be ahead of the records it rests on; they come by another way."""

logger = structlog.get_logger(__name__)


class RefusedError(FeedgateError):
    """No view is opened. `reason` is told to who asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no view: {reason}")
        self.reason = reason


class Views:
    """The views of this relay, and the streams they look at."""

    def __init__(
        self,
        *,
        bus: Bus,
        clock: Clock,
        limits: Limits,
        states: States,
        outgoing: Outgoing,
        redemptions: Redemptions,
        metrics: RelayMetrics,
        media_path: str,
        maximum: int,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits
        self._states = states
        self._outgoing = outgoing
        self._metrics = metrics
        self._redemptions = redemptions
        self._media_path = media_path
        self._maximum = maximum
        self._views: dict[str, View] = {}
        self._by_camera: dict[str, dict[str, View]] = {}
        self._by_grant: dict[str, dict[str, View]] = {}
        self._by_secret: dict[str, View] = {}
        self._untidied: list[View] = []  # ended and told so, but not put away yet
        self._telling = False
        self._closing_views: list[View] = []  # their notices sockets wait for `dark`
        self._hubs: dict[str, tuple[StreamHub, asyncio.Task[None]]] = {}
        self._closing_tails: set[asyncio.Task[None]] = set()
        self._events: dict[str, GrantEvents] = {}
        self._closed = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when what is demanded may have changed."""
        states.on_cameras = self._cameras_changed
        states.on_grants = self._grants_changed

    def __len__(self) -> int:
        return len(self._views)

    def demanded(self) -> Collection[str]:
        """Streams that somebody may and does look at."""
        return {view.ticket.stream for view in self._views.values() if view.demands}

    def dark_reasons(self) -> Iterable[str]:
        """Of each open view that shows nothing now, why."""
        return [reason for view in self._views.values() if (reason := view.dark_reason) is not None]

    async def open(self, ticket: Ticket, notices: Connection) -> View:
        """Open a view and greet it.

        Raises:
            TicketError: the ticket was used before, at whichever relay, or that cannot be told.
            RefusedError: there is no right, or no room. Without room the ticket is still good elsewhere.
        """
        no_room = self._no_room()
        if no_room is not None:
            self._record_refusal(ticket, no_room)
            raise RefusedError(no_room)
        try:
            await self._redemptions.redeem(ticket)
        except TicketError as error:
            self._record_refusal(ticket, error.reason)
            raise
        await self._states.settled(lambda: not self._records_lag(ticket), RECORDS_WITHIN_S)
        shut = self._shut(ticket)
        grant = self._states.grants.get(ticket.grant_id)
        camera = self._states.cameras.get(ticket.camera_id)
        refusal = self._refusal(shut)
        if refusal is not None or grant is None:
            reason = refusal or Reason.RECORD_MISSING
            self._record_refusal(ticket, reason)
            raise RefusedError(reason)
        view_id = new_id()
        view = View(
            view_id=view_id,
            ticket=ticket,
            grant=grant,
            notices=notices,
            hub=self._hub(ticket.stream),
            states=self._states,
            events=self._grant_events(ticket),
            audit=ViewAudit(
                view_id=view_id,
                ticket=ticket,
                grant=grant,
                camera=camera,
                clock=self._clock,
                outgoing=self._outgoing,
            ),
            clock=self._clock,
            limits=self._limits,
            metrics=self._metrics,
            on_ended=self._view_ended,
        )
        self._views[view_id] = view
        self._by_camera.setdefault(ticket.camera_id, {})[view_id] = view
        self._by_grant.setdefault(ticket.grant_id, {})[view_id] = view
        view.hub.add(view.delivery)
        self._metrics.views_open.set(len(self._views))
        secret = secrets.token_urlsafe(32)
        self._by_secret[secret] = view
        view.greet(secret, self._media_path)
        logger.info("view opened", view_id=view_id, grant_id=ticket.grant_id)
        return view

    def claim(self, secret: str) -> View:
        """The view whose media socket this secret opens, once.

        Raises:
            RefusedError: it opens none, or not any more.
        """
        view = self._by_secret.pop(secret, None)
        if view is None or not view.wants_media:
            raise RefusedError(Reason.SECRET_REFUSED)
        return view

    async def open_media(self, view: View, connection: Connection) -> None:
        """Let the view's pictures flow over this connection."""
        await view.open_media(connection)
        self.on_change()

    async def extend(self, view: View, ticket: Ticket) -> None:
        """A ticket sent in-band: the same operator may watch on.

        Raises:
            TicketError: it is for another view, was used before, or that cannot be told.
        """
        own = view.ticket
        if (ticket.operator, ticket.agency, ticket.grant_id, ticket.stream) != (
            own.operator,
            own.agency,
            own.grant_id,
            own.stream,
        ):
            raise TicketError(Reason.TICKET_MISMATCH, "the ticket is for another view")
        await self._redemptions.redeem(ticket)
        view.extend(ticket)
        self.on_change()

    def check(self) -> None:
        """What time alone changes."""
        with self._told_first():
            for view in list(self._views.values()):
                view.check()
        self._closing_views = [view for view in self._closing_views if not view.close_when_due()]
        if self._states.fresh():  # a clock that stepped ahead, and back, must not make used tickets good
            self._redemptions.forget_expired(self._clock.now_us())
        if self._by_secret:
            self._by_secret = {secret: view for secret, view in self._by_secret.items() if view.wants_media}
        looked_at = {view.ticket.stream for view in self._views.values() if view.right_is_live}
        for stream, (hub, _) in self._hubs.items():
            if stream not in looked_at:
                hub.forget_pictures()
        self.on_change()

    def lease(self) -> None:
        """Tell every page that what it was told still holds."""
        with self._told_first():
            for view in list(self._views.values()):
                view.lease()

    async def run_checks(self) -> None:
        """Check a few times a second until cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.check()

    async def run_leases(self) -> None:
        """Lease every second until cancelled, at times that do not drift."""
        due_s = self._clock.monotonic_s()
        while True:
            due_s = max(due_s + LEASE_S, self._clock.monotonic_s())
            await asyncio.sleep(due_s - self._clock.monotonic_s())
            self.lease()

    def stop(self) -> None:
        """The process is stopping: end every view, with a notice. No further one opens."""
        self._closed = True
        with self._told_first():
            for view in list(self._views.values()):
                view.end(NOTICE_CODE_VIEW_ENDED, Reason.RELAY_STOPPING)

    async def close(self) -> None:
        """Let go of what is left: the bus is closed after this, so no media tail may be open."""
        self.stop()
        await asyncio.gather(*self._closing_tails, return_exceptions=True)

    def _shut(self, ticket: Ticket) -> Shut | None:
        return self._states.window(ticket, self._limits, ticket.view_until_us, self._clock.now_us()).shut

    def _records_lag(self, ticket: Ticket) -> bool:
        shut = self._shut(ticket)
        return shut is not None and shut.code == NOTICE_CODE_NOT_FRESH

    def _no_room(self) -> str | None:
        if self._closed:
            return Reason.RELAY_STOPPING
        return Reason.TOO_MANY_VIEWS if len(self._views) >= self._maximum else None

    def _refusal(self, shut: Shut | None) -> str | None:
        no_room = self._no_room()
        if no_room is not None:
            return no_room
        if shut is not None and (shut.for_ever or shut.code == NOTICE_CODE_NOT_FRESH):
            return shut.reason
        return None

    def _record_refusal(self, ticket: Ticket, reason: str) -> None:
        ViewAudit(
            view_id="",
            ticket=ticket,
            grant=self._states.grants.get(ticket.grant_id),
            camera=self._states.cameras.get(ticket.camera_id),
            clock=self._clock,
            outgoing=self._outgoing,
        ).refused(reason)

    def _cameras_changed(self, keys: Collection[str]) -> None:
        self._touch(keys, self._by_camera, self._states.cameras)

    def _grants_changed(self, keys: Collection[str]) -> None:
        self._touch(keys, self._by_grant, self._states.grants)

    def _touch(
        self,
        keys: Iterable[str],
        index: dict[str, dict[str, View]],
        copy: CommittedCopy[CameraState] | CommittedCopy[GrantState],
    ) -> None:
        with self._told_first():
            for key in keys:
                committed_at_us = copy.committed_at_us(key)
                for view in list(index.get(key, {}).values()):
                    view.records_changed(committed_at_us)
        self.on_change()

    @contextmanager
    def _told_first(self) -> Iterator[None]:
        """Views that end in here are put away when all of them have been told.

        No notice waits for counting, nor for another viewer's goodbye.
        """
        self._telling = True
        try:
            yield
        finally:
            self._telling = False
            self._put_ended_away()

    def _view_ended(self, view: View) -> None:
        self._untidied.append(view)
        if not self._telling:
            self._put_ended_away()

    def _put_ended_away(self) -> None:
        ended, self._untidied = self._untidied, []
        for view in ended:
            self._put_away(view)
        if ended:
            self._metrics.views_open.set(len(self._views))
            self.on_change()

    def _put_away(self, view: View) -> None:
        view.hang_up()
        del self._views[view.view_id]
        for index, key in ((self._by_camera, view.ticket.camera_id), (self._by_grant, view.ticket.grant_id)):
            del index[key][view.view_id]
            if not index[key]:
                del index[key]
        view.hub.remove(view.delivery)
        if view.ticket.grant_id not in self._by_grant:
            self._events.pop(view.ticket.grant_id).flush()
        if not any(
            other.ticket.stream == view.ticket.stream
            for other in self._by_camera.get(view.ticket.camera_id, {}).values()
        ):
            _, task = self._hubs.pop(view.ticket.stream)
            self._closing_tails.add(task)
            task.add_done_callback(self._closing_tails.discard)
            task.cancel()
        self._closing_views.append(view)
        self._metrics.views_ended.labels(self._metrics.count_reason(view.end_reason)).inc()

    def _hub(self, stream: str) -> StreamHub:
        known = self._hubs.get(stream)
        if known is not None:
            return known[0]
        hub = StreamHub(
            stream,
            feed=self._bus.media_feed(ACCESS_UNITS),
            clock=self._clock,
            limits=self._limits,
            metrics=self._metrics,
        )
        task = asyncio.create_task(supervise("media tail", hub.run, self._clock), name="media tail")
        self._hubs[stream] = (hub, task)
        return hub

    def _grant_events(self, ticket: Ticket) -> GrantEvents:
        known = self._events.get(ticket.grant_id)
        if known is not None:
            return known
        grant = self._states.grants.get(ticket.grant_id)
        assert grant is not None
        topic = frame_events(grant.agency)

        def send(event: FrameEvent) -> None:
            kind = event.WhichOneof("event") or "frame_event"
            headers = headers_for(
                type="feedgate.frame.v1.FrameEvent", source="relay", subject=event.stream, clock=self._clock
            )
            self._outgoing.send(topic, Record(event.stream, event.SerializeToString(), headers), kind=kind)

        self._events[ticket.grant_id] = events = GrantEvents(grant, ticket.stream, self._clock, send)
        return events
