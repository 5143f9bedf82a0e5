"""What the relay has read: camera and grant state in order, how fresh that is, and the feeds' phases."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.feed.v1.feed_pb2 import FeedState
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import MICROSECONDS, Clock, to_us
from feedgate_kit.state_copy import M, StateCopy, follow_state, protobuf_decoder
from feedgate_kit.topics import CAMERA_STATE, FEED_STATE, GRANT_STATE
from feedgate_relay.admission import NOTHING_VOUCHED, Limits, Vouched, vouched
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.ticket import Ticket
from feedgate_relay.windows import Window, open_window

CHANGED_AT_HEADER: Final = "ce_time"
"""When the record's change was committed, RFC 3339 (CloudEvents `time`)."""

logger = structlog.get_logger(__name__)

OnChange = Callable[[Collection[str]], None]


class CommittedCopy(StateCopy[M]):
    """A state copy that remembers when values were committed, for `relay_withdrawal_to_dark_seconds`."""

    def __init__(self, message: type[M], clock: Clock) -> None:
        super().__init__(protobuf_decoder(message), clock)
        self._committed_us: dict[str, int] = {}

    def apply(self, record: Record) -> str | None:
        key = super().apply(record)
        if key is not None:
            committed_us = _time_of(record.headers)
            if committed_us is None:
                self._committed_us.pop(key, None)
            else:
                self._committed_us[key] = committed_us
        return key

    def committed_at_us(self, key: str) -> int | None:
        """The publisher's clock at the commit of the value in force, where its record says so."""
        return self._committed_us.get(key)


def _time_of(headers: Mapping[str, str]) -> int | None:
    try:
        return to_us(datetime.fromisoformat(headers[CHANGED_AT_HEADER]))
    except (KeyError, ValueError):
        return None


class States:
    """Both state copies, followed from the bus, and what their heartbeats vouch for together.

    A failure to read starts over with an empty copy, which denies everything
    and is not fresh, until the log has been read again to its end.
    """

    def __init__(self, bus: Bus, clock: Clock, limits: Limits, metrics: RelayMetrics) -> None:
        self._bus = bus
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self.cameras = CommittedCopy(CameraState, clock)
        self.grants = CommittedCopy(GrantState, clock)
        self.feeds: dict[str, FeedState] = {}
        self.vouched: Vouched = NOTHING_VOUCHED
        self.on_cameras: OnChange = _ignore
        self.on_grants: OnChange = _ignore
        self._caught_up = {CAMERA_STATE: False, GRANT_STATE: False}
        self._moved = asyncio.Event()

    @property
    def camera_read_to_us(self) -> int | None:
        """Up to when the camera topic has been read, by its publisher's clock."""
        freshness = self.cameras.freshness
        return None if freshness is None else freshness.as_of_us

    def caught_up(self, topic: str) -> bool:
        """Whether the topic has been read to its end at least once since it was begun."""
        return self._caught_up[topic]

    def fresh(self) -> bool:
        """Whether pictures may be shown at this moment, as far as freshness goes."""
        return self.vouched.holds(self._clock.now_us(), self._clock.monotonic_s())

    def window(self, ticket: Ticket, limits: Limits, view_until_us: int, now_us: int) -> Window:
        """What a view may show by the records read so far, as `open_window` says."""
        return open_window(
            self.cameras.get(ticket.camera_id),
            self.grants.get(ticket.grant_id),
            ticket,
            limits,
            view_until_us=view_until_us,
            now_us=now_us,
            camera_read_to_us=self.camera_read_to_us,
        )

    def heartbeat_ages(self) -> Iterable[tuple[str, float]]:
        for topic, copy in ((CAMERA_STATE, self.cameras), (GRANT_STATE, self.grants)):
            age_us = copy.age_us()
            yield topic, math.inf if age_us is None else age_us / MICROSECONDS

    def heartbeat_offsets(self) -> Iterable[tuple[str, float]]:
        for topic, copy in ((CAMERA_STATE, self.cameras), (GRANT_STATE, self.grants)):
            if copy.offset_us is not None:
                yield topic, copy.offset_us / MICROSECONDS

    async def follow_cameras(self) -> None:
        """Read the camera topic until cancelled."""
        self.cameras = copy = CommittedCopy(CameraState, self._clock)
        await self._follow(CAMERA_STATE, copy, self._cameras_changed)

    async def follow_grants(self) -> None:
        """Read the grant topic until cancelled."""
        self.grants = copy = CommittedCopy(GrantState, self._clock)
        await self._follow(GRANT_STATE, copy, self._grants_changed)

    async def _follow(self, topic: str, copy: CommittedCopy[M], notify: OnChange) -> None:
        self._caught_up[topic] = False
        self._vouch()
        unreadable = self._metrics.records_unreadable.labels(topic)
        counted = 0

        def changed(keys: Collection[str]) -> None:
            nonlocal counted
            if copy.unreadable > counted:
                logger.warning("records not readable, their keys are denied", topic=topic)
                unreadable.inc(copy.unreadable - counted)
                counted = copy.unreadable
            self._caught_up[topic] = True
            self._vouch()
            if keys:
                notify(keys)
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

        await follow_state(self._bus.state_log(topic), copy, changed)

    def _cameras_changed(self, keys: Collection[str]) -> None:
        self.on_cameras(keys)

    def _grants_changed(self, keys: Collection[str]) -> None:
        self.on_grants(keys)

    def _vouch(self) -> None:
        self.vouched = vouched(self._limits, self.cameras.freshness, self.grants.freshness)

    async def settled(self, holds: Callable[[], bool], within_s: float) -> None:
        """Return once `holds()`, asked again after everything read, or `within_s` later."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    await self._moved.wait()
        except TimeoutError:
            return

    async def follow_feeds(self) -> None:
        """Read the feed topic until cancelled. Several workers write it; a stream's last record counts."""
        reader = await self._bus.state_log(FEED_STATE).open_reader()
        try:
            apply = partial(_apply_feed, self.feeds, self._metrics)
            for record in await reader.read_to_end():
                apply(record)
            while True:
                for record in await reader.read():
                    apply(record)
        finally:
            await reader.close()


def _apply_feed(feeds: dict[str, FeedState], metrics: RelayMetrics, record: Record) -> None:
    try:
        feeds[record.key] = FeedState.FromString(record.value)
    except DecodeError:
        feeds.pop(record.key, None)
        metrics.records_unreadable.labels(FEED_STATE).inc()


def _ignore(keys: Collection[str]) -> None:
    del keys
