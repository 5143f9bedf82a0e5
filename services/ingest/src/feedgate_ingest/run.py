"""One unbroken session of a camera, from its first keyframe to its last picture."""

from collections.abc import Callable
from dataclasses import dataclass

from feedgate_contracts.digest import GENESIS, length_prefixed, picture_digest
from feedgate_ingest.access_unit import AccessUnit, Epoch
from feedgate_ingest.annexb import (
    NalType,
    merge_parameter_sets,
    nal_type,
    nal_types,
    parameter_sets_of,
)
from feedgate_ingest.picture import Picture, Track
from feedgate_ingest.quality import Quality, QualityMeter
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.sps import PictureFormat, SpsError, read_sps
from feedgate_ingest.timeline import Timeline, is_camera_time_trusted
from feedgate_kit.clock import Clock

LONGEST_WITHOUT_KEYFRAME_S = 10.0


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What every access unit of a run repeats."""

    stream: str
    epoch: Epoch
    run: bytes
    mask_version: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became known of the pictures with this access unit."""

    format: PictureFormat
    quality: Quality | None  # None before the first whole group of pictures


class Run:
    """Stamps a camera's pictures; a `PictureTaker`.

    Nothing before the first keyframe is published: nobody could decode it.
    """

    def __init__(
        self,
        identity: RunIdentity,
        clock: Clock,
        *,
        publish: Callable[[AccessUnit], None],
        report: Callable[[RunReport], None],
        skipped: Callable[[], None],
    ) -> None:
        """Begin a run.

        Args:
            identity: of the run; never used for another.
            clock: only its monotonic time is used.
            publish: told every access unit, in order.
            report: told when the format or the measured quality has changed.
            skipped: told of every picture before the first keyframe.
        """
        self.identity = identity
        self.began_at_s: float | None = None  # monotonic, of the first published picture
        self._clock = clock
        self._publish = publish
        self._report = report
        self._skipped = skipped
        self._timeline = Timeline()
        self._meter = QualityMeter()
        self._quality: Quality | None = None
        self._sps = b""
        self._format: PictureFormat | None = None
        self._parameter_sets: tuple[bytes, ...] = ()
        self._sequence = 0
        self._digest = GENESIS
        self._keyframe_due_at_s: float | None = None

    def began(self, track: Track) -> None:
        self._parameter_sets = merge_parameter_sets((), track.parameter_sets)
        self._keyframe_due_at_s = self._clock.monotonic_s() + LONGEST_WITHOUT_KEYFRAME_S

    def take(self, picture: Picture) -> None:
        """Stamp one picture and publish it.

        Raises:
            FeedError: the run is over: the camera's time stepped, or it sends no keyframes.
        """
        types = nal_types(picture.nal_units)
        is_keyframe = NalType.IDR_SLICE in types  # a decoder may start here: H.264 7.4.1.2.4
        if NalType.SPS in types or NalType.PPS in types:
            newer = parameter_sets_of(picture.nal_units)
            self._parameter_sets = merge_parameter_sets(self._parameter_sets, newer)
        self._expect_keyframe(is_keyframe)
        if not self._sequence and not (is_keyframe and self._is_decodable()):
            self._skipped()
            return
        has_new_format = is_keyframe and self._read_format()
        dts, pts = self._timeline.place(picture.time)
        unit = self._stamp(picture, dts, pts, is_keyframe)
        if self.began_at_s is None:
            self.began_at_s = self._clock.monotonic_s()
        self._publish(unit)
        measured = self._meter.count(dts, is_random_access_point=is_keyframe)
        if is_keyframe:
            self._report_changes(measured, has_new_format=has_new_format)

    def _stamp(self, picture: Picture, dts: int, pts: int, is_keyframe: bool) -> AccessUnit:
        identity, previous = self.identity, self._digest
        self._digest = picture_digest(
            previous=previous,
            stream=identity.stream,
            run=identity.run,
            sequence=self._sequence,
            dts=dts,
            received_at_us=picture.received_at_us,
            mask_version=identity.mask_version,
            sample=length_prefixed(picture.nal_units),
        )
        unit = AccessUnit(
            stream=identity.stream,
            epoch=identity.epoch,
            run=identity.run,
            sequence=self._sequence,
            dts=dts,
            pts=pts,
            is_random_access_point=is_keyframe,
            nal_units=picture.nal_units,
            parameter_sets=self._parameter_sets,
            camera_time_us=picture.camera_time_us,
            camera_time_trusted=is_camera_time_trusted(picture.camera_time_us, picture.received_at_us),
            received_at_us=picture.received_at_us,
            mask_version=identity.mask_version,
            digest=self._digest,
            previous_digest=previous,
        )
        self._sequence += 1
        return unit

    def _expect_keyframe(self, is_keyframe: bool) -> None:
        now_s = self._clock.monotonic_s()
        if is_keyframe or self._keyframe_due_at_s is None:
            self._keyframe_due_at_s = now_s + LONGEST_WITHOUT_KEYFRAME_S
        elif now_s >= self._keyframe_due_at_s:
            raise FeedError(Reason.NO_KEYFRAME, f"None came for {LONGEST_WITHOUT_KEYFRAME_S:g} s.")

    def _is_decodable(self) -> bool:
        return {nal_type(unit) for unit in self._parameter_sets} >= {NalType.SPS, NalType.PPS}

    def _read_format(self) -> bool:
        """Learn the format in force; whether it is a new one.

        Raises:
            FeedError: it cannot be read, or the run's times would no longer hold.
        """
        sps = next(unit for unit in self._parameter_sets if nal_type(unit) == NalType.SPS)
        if sps == self._sps:
            return False
        try:
            seen = read_sps(sps)
        except SpsError as error:
            raise FeedError(Reason.PROTOCOL_ERROR, f"Its parameter sets cannot be read: {error}.") from error
        if self._format is None:
            self._timeline = Timeline(seen.reordered)
        elif seen.reordered != self._format.reordered:
            raise FeedError(Reason.FORMAT_CHANGED)
        self._sps, self._format = sps, seen
        return True

    def _report_changes(self, measured: Quality | None, *, has_new_format: bool) -> None:
        has_news = has_new_format
        if measured is not None and measured.differs_from(self._quality):
            self._quality, has_news = measured, True
        if has_news and self._format is not None:
            self._report(RunReport(self._format, self._quality))
