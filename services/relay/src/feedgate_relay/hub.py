"""One stream inside the relay: units in, one fragment each, out to every viewer admission lets see it."""

from typing import Final, NamedTuple

import structlog

from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_kit.bus.ports import MediaFeed
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import UnreadableRecordError
from feedgate_relay.admission import Limits, Source
from feedgate_relay.delivery import Delivery, SharedFrame
from feedgate_relay.fragment import fragment
from feedgate_relay.gop import GopCache
from feedgate_relay.init_segment import InitSegment, InitSegmentError, init_segment
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.newest import NewestSource
from feedgate_relay.picture import Picture, read_unit, sample_of

GOP_BYTES: Final = 16 * 1024 * 1024
"""The largest GOP kept for viewers who join; 3 s, more than admission lets through, of a 40 Mb/s camera."""
NOMINAL_PICTURES_PER_SECOND: Final = 25
"""Foretells the duration of a run's first picture."""

logger = structlog.get_logger(__name__)


class _Place(NamedTuple):
    """Where the stream has got to. Not the picture itself, which may have to be forgotten."""

    source: Source
    sequence: int
    dts: int


class StreamHub:
    """Reads a stream while there are views of it, and hands each picture on in one go, without waiting."""

    def __init__(
        self, stream: str, *, feed: MediaFeed, clock: Clock, limits: Limits, metrics: RelayMetrics
    ) -> None:
        self.stream = stream
        self.newest = NewestSource()
        self.gop = GopCache(GOP_BYTES)
        self.last_picture_s: float | None = None
        self.keyframe_interval_s: float | None = None
        """Measured between the last two keyframes of one run, in ticks of the camera."""
        self._feed = feed
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._deliveries: dict[Delivery, None] = {}  # in the order they came
        self._last: _Place | None = None
        self._last_keyframe_dts: int | None = None
        self._lost = True  # pictures are missing; the next one taken is a keyframe
        self._init: InitSegment | None = None
        self._init_of: tuple[Source, tuple[bytes, ...], int] | None = None
        self._origin_ticks = 0
        self._duration_ticks = 0
        self._fragments = 0
        self._gops = 0

    @property
    def codec(self) -> str | None:
        """RFC 6381 name of what is being sent, once known."""
        return None if self._init is None else self._init.codec

    def add(self, delivery: Delivery) -> None:
        self._deliveries[delivery] = None

    def remove(self, delivery: Delivery) -> None:
        self._deliveries.pop(delivery, None)

    def forget_pictures(self) -> None:
        """Nobody may look now: keep no picture."""
        self.gop.clear()

    async def run(self) -> None:
        """Follow the stream's media until cancelled."""
        tail = await self._feed.open_tail(self.stream)
        try:
            async for record in tail:
                self.take(record.value)
        finally:
            await tail.close()

    def take(self, value: bytes) -> None:
        """One media record, from its bytes to the viewers' sockets."""
        try:
            unit = read_unit(value, self.stream)
        except UnreadableRecordError:
            self._drop("unreadable")
            return
        picture = self._accept(unit)
        if picture is None:
            return
        self.gop.push(picture)
        self.deliver(picture)

    def deliver(self, picture: Picture) -> None:
        """Offer a picture to every viewer."""
        frame = SharedFrame(picture, self._clock.now_us)
        for delivery in tuple(self._deliveries):  # one may end while it is offered a picture
            delivery.offer(frame)
        if frame.stamped:
            latency_us = self._clock.now_us() - picture.received_at_us
            self._metrics.delivery_latency.observe(latency_us / MICROSECONDS)

    def _accept(self, unit: AccessUnit) -> Picture | None:
        """The picture, unless it is an older source's, repeated, or follows a lost one."""
        epoch = (unit.epoch.pool_version, unit.epoch.generation)
        source = self.newest.observe(epoch, unit.run, self._clock.monotonic_s())
        if source is None:
            self._drop("not_newest")
            return None
        last = self._last
        if last is None or last.source is not source:
            self._begin_run(unit)
            if last is not None:
                self._tell_lost()
                last = None
        elif unit.sequence <= last.sequence:
            self._drop("repeated")
            return None
        elif unit.sequence > last.sequence + 1:
            self._lost = True
            self._metrics.units_missed.inc(unit.sequence - last.sequence - 1)
            self._tell_lost()
        picture = Picture(unit, source, self._limits.max_age_us)
        self._last = _Place(source, picture.sequence, picture.dts)
        if self._lost and not picture.is_random_access_point:
            self._drop("lost")
            return None
        if picture.is_random_access_point and not self._begin_gop(unit, picture):
            return None
        self._lost = False
        self._fragment(unit, picture, last)
        self.last_picture_s = self._clock.monotonic_s()
        self._metrics.pictures_in.inc()
        return picture

    def _tell_lost(self) -> None:
        for delivery in tuple(self._deliveries):
            delivery.lose_pictures()

    def _begin_run(self, unit: AccessUnit) -> None:
        self._lost = True
        self._last_keyframe_dts = None
        self.gop.clear()
        # ISO/IEC 14496-12 §8.8.12 knows no negative decode time; B-pictures may begin with one.
        self._origin_ticks = max(0, -unit.dts)
        self._duration_ticks = unit.ticks_per_second // NOMINAL_PICTURES_PER_SECOND

    def _begin_gop(self, unit: AccessUnit, picture: Picture) -> bool:
        made_of = (picture.source, tuple(unit.parameter_sets), unit.ticks_per_second)
        if made_of != self._init_of:
            try:
                self._init = init_segment(unit.parameter_sets, unit.nal_units, unit.ticks_per_second)
            except InitSegmentError as error:
                logger.warning("no init segment", error=str(error))
                self._drop("no_init_segment")
                self._lost = True
                return False
            self._init_of = made_of
        self._gops += 1
        previous_dts, self._last_keyframe_dts = self._last_keyframe_dts, picture.dts
        if previous_dts is not None and picture.dts > previous_dts:
            self.keyframe_interval_s = (picture.dts - previous_dts) / unit.ticks_per_second
        return True

    def _fragment(self, unit: AccessUnit, picture: Picture, last: "_Place | None") -> None:
        if last is not None and picture.dts > last.dts and picture.sequence == last.sequence + 1:
            self._duration_ticks = min(picture.dts - last.dts, unit.ticks_per_second)
        sample = sample_of(unit)
        self._fragments += 1
        picture.size = len(sample)
        picture.gop = self._gops
        picture.init = self._init
        picture.body = fragment(
            number=self._fragments,
            decode_time=max(0, picture.dts + self._origin_ticks),
            composition_offset=unit.pts - unit.dts,
            duration=self._duration_ticks,
            is_sync=picture.is_random_access_point,
            sample=sample,
        )

    def _drop(self, reason: str) -> None:
        self._metrics.units_dropped.labels(reason).inc()
