"""A run is what the protocol promises: places, parameter sets, digests, and nothing undecodable."""

from dataclasses import dataclass, field

import pytest

from feedgate_contracts.digest import GENESIS, length_prefixed, picture_digest
from feedgate_ingest.access_unit import AccessUnit, Epoch
from feedgate_ingest.picture import Picture, Track
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.run import LONGEST_WITHOUT_KEYFRAME_S, Run, RunIdentity, RunReport
from feedgate_kit.stepped_clock import SteppedClock
from services.ingest.tests.coded import (
    AUD,
    DELTA,
    IDR,
    KEY,
    PPS,
    RECEIVED_US,
    REORDERED_SPS,
    SEI,
    SPS,
    STEP,
    TRACK,
    picture,
)

IDENTITY = RunIdentity("cam/original", Epoch(3, 1), bytes(range(16)), mask_version=2)


@dataclass
class Played:
    """A run with everything that came out of it."""

    clock: SteppedClock = field(default_factory=SteppedClock)
    units: list[AccessUnit] = field(default_factory=list)
    reports: list[RunReport] = field(default_factory=list)
    skipped: int = 0

    def __post_init__(self) -> None:
        self.run = Run(
            IDENTITY,
            self.clock,
            publish=self.units.append,
            report=self.reports.append,
            skipped=self._skip,
        )

    def _skip(self) -> None:
        self.skipped += 1

    def play(self, *pictures: Picture, track: Track = TRACK) -> "Played":
        self.run.began(track)
        for each in pictures:
            self.run.take(each)
            self.clock.advance(0.04)
        return self


def group(first: int, length: int = 5) -> list[Picture]:
    return [picture(first, KEY), *(picture(first + number) for number in range(1, length))]


def test_pictures_are_numbered_and_placed_from_the_first_keyframe() -> None:
    played = Played().play(picture(7), picture(8), picture(9, KEY), picture(10), picture(11))
    assert [(unit.sequence, unit.dts, unit.is_random_access_point) for unit in played.units] == [
        (0, 0, True),
        (1, STEP, False),
        (2, 2 * STEP, False),
    ]
    assert played.skipped == 2


def test_every_unit_says_whose_it_is() -> None:
    (unit,) = Played().play(picture(0, KEY)).units
    assert (unit.stream, unit.epoch, unit.run, unit.mask_version) == (
        "cam/original",
        Epoch(3, 1),
        bytes(range(16)),
        2,
    )


def test_nal_units_and_receive_times_pass_untouched() -> None:
    units = (AUD, SPS, PPS, SEI, IDR, IDR)
    (unit,) = Played().play(picture(0, units, received_at_us=RECEIVED_US + 17)).units
    assert unit.nal_units == units
    assert unit.received_at_us == RECEIVED_US + 17


def test_digests_chain_from_the_genesis() -> None:
    previous = GENESIS
    for unit in Played().play(*group(0), *group(5)).units:
        assert unit.previous_digest == previous
        previous = picture_digest(
            previous=previous,
            stream=unit.stream,
            run=unit.run,
            sequence=unit.sequence,
            dts=unit.dts,
            received_at_us=unit.received_at_us,
            mask_version=unit.mask_version,
            sample=length_prefixed(unit.nal_units),
        )
        assert unit.digest == previous


@pytest.mark.parametrize(
    ("track", "first"),
    [
        pytest.param(TRACK, (IDR,), id="in the description"),
        pytest.param(Track(()), KEY, id="in band"),
        pytest.param(Track((SPS,)), (PPS, IDR), id="in both"),
    ],
)
def test_parameter_sets_in_force_are_known_wherever_they_stand(
    track: Track, first: tuple[bytes, ...]
) -> None:
    played = Played().play(picture(0, first), picture(1), track=track)
    assert [unit.parameter_sets for unit in played.units] == [(SPS, PPS), (SPS, PPS)]


def test_a_keyframe_nobody_could_decode_begins_no_run() -> None:
    played = Played().play(picture(0, (IDR,)), picture(1, KEY), track=Track(()))
    assert [unit.sequence for unit in played.units] == [0]
    assert played.units[0].nal_units == KEY


def test_new_parameter_sets_are_in_force_from_their_picture_on() -> None:
    newer = PPS + b"\x01"
    played = Played().play(picture(0, KEY), picture(1, (SPS, newer, IDR)), picture(2))
    assert [unit.parameter_sets[1] for unit in played.units] == [PPS, newer, newer]


def test_camera_time_is_passed_on_and_marked() -> None:
    right, wrong = RECEIVED_US - 900_000, RECEIVED_US - 3_600_000_000
    played = Played().play(
        picture(0, KEY, received_at_us=RECEIVED_US, camera_time_us=right),
        picture(1, received_at_us=RECEIVED_US, camera_time_us=wrong),
        picture(2, received_at_us=RECEIVED_US),
    )
    assert [(unit.camera_time_us, unit.camera_time_trusted) for unit in played.units] == [
        (right, True),
        (wrong, False),
        (0, False),
    ]


def test_pictures_shown_in_another_order_are_decoded_in_the_order_they_came() -> None:
    track = Track((REORDERED_SPS, PPS))
    played = Played().play(
        picture(0, (IDR,), time=0),
        picture(1, time=3 * STEP),
        picture(2, time=1 * STEP),
        picture(3, time=2 * STEP),
        track=track,
    )
    assert [(unit.dts // STEP, unit.pts // STEP) for unit in played.units] == [(0, 2), (1, 5), (2, 3), (3, 4)]


def test_a_format_whose_order_is_another_one_is_another_run() -> None:
    played = Played().play(picture(0, KEY), picture(1))
    with pytest.raises(FeedError) as caught:
        played.run.take(picture(2, (REORDERED_SPS, PPS, IDR)))
    assert caught.value.reason is Reason.FORMAT_CHANGED


def test_time_that_steps_ends_the_run_and_is_not_mended() -> None:
    played = Played().play(picture(0, KEY), picture(1))
    with pytest.raises(FeedError) as caught:
        played.run.take(picture(2, time=STEP // 2))
    assert caught.value.reason is Reason.CAMERA_CLOCK_STEPPED
    assert len(played.units) == 2


@pytest.mark.parametrize("before", [(), (picture(0, KEY),)], ids=["from the start", "after one"])
def test_ten_seconds_without_a_keyframe_end_the_run(before: tuple[Picture, ...]) -> None:
    played = Played().play(*before)
    played.clock.advance(LONGEST_WITHOUT_KEYFRAME_S - 0.1)
    played.run.take(picture(1))
    played.clock.advance(0.1)
    with pytest.raises(FeedError) as caught:
        played.run.take(picture(2))
    assert caught.value.reason is Reason.NO_KEYFRAME


def test_a_late_keyframe_is_in_time_when_it_comes() -> None:
    played = Played().play()
    played.clock.advance(LONGEST_WITHOUT_KEYFRAME_S + 1)
    played.run.take(picture(0, KEY))
    assert len(played.units) == 1


def test_the_format_is_reported_with_the_first_keyframe_and_the_rate_with_the_second() -> None:
    played = Played().play(*group(0, 10), *group(10, 10), *group(20, 10))
    assert [
        (report.format.codec, report.format.width, report.format.height, report.quality is None)
        for report in played.reports
    ] == [("avc1.42c01e", 640, 360, True), ("avc1.42c01e", 640, 360, False)]
    quality = played.reports[1].quality
    assert quality is not None
    assert (quality.pictures_per_second, quality.keyframe_interval_s) == (25.0, 0.4)


def test_a_rate_that_changes_by_more_than_a_tenth_is_reported_again() -> None:
    played = Played().play(*group(0, 10), *group(10, 10), *group(20, 12), *group(32, 10), *group(42))
    intervals = [report.quality.keyframe_interval_s for report in played.reports if report.quality]
    assert intervals == [0.4, 0.48, 0.4]


def test_unreadable_parameter_sets_end_the_run() -> None:
    with pytest.raises(FeedError) as caught:
        Played().play(picture(0, (b"\x67\x42", PPS, IDR)), track=Track(()))
    assert caught.value.reason is Reason.PROTOCOL_ERROR


def test_a_run_knows_when_its_first_picture_came() -> None:
    played = Played().play(picture(0, DELTA))
    assert played.run.began_at_s is None
    now_s = played.clock.monotonic_s()
    played.run.take(picture(1, KEY))
    assert played.run.began_at_s == now_s
