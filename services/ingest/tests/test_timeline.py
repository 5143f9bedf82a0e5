"""A camera's times become a run's by one shift, and never by another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.timeline import LONGEST_STEP_TICKS, Timeline, is_camera_time_trusted

Times = list[tuple[int | None, int | None]]


def placed(times: Times) -> list[tuple[int, int]]:
    timeline = Timeline()
    return [timeline.place(dts, pts) for dts, pts in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([(9000, 9000), (12600, 12600)], [(0, 0), (3600, 3600)], id="counted from the first"),
        pytest.param([(None, 9000), (12600, None)], [(0, 0), (3600, 3600)], id="one of the two is enough"),
        pytest.param(
            [(0, 3600), (3600, 14400), (7200, 7200)],
            [(0, 3600), (3600, 14400), (7200, 7200)],
            id="B-pictures are shown in another order",
        ),
        pytest.param(
            [(None, None), (3600, 3600), (7200, 7200)],
            [(0, 0), (3600, 3600), (7200, 7200)],
            id="the first picture lost its time and is tick 0",
        ),
        pytest.param(
            [(None, None), (-5, -5), (3595, 3595)],
            [(0, 0), (3600, 3600), (7200, 7200)],
            id="the second cannot follow tick 0: the first was one picture before it",
        ),
    ],
)
def test_places(times: Times, expected: list[tuple[int, int]]) -> None:
    assert placed(times) == expected


@pytest.mark.parametrize(
    "times",
    [
        pytest.param([(9000, 9000), (9000, 9000)], id="stands still"),
        pytest.param([(9000, 9000), (6000, 6000)], id="goes back"),
        pytest.param([(0, 0), (LONGEST_STEP_TICKS + 1, 0)], id="jumps"),
        pytest.param([(0, 0), (3600, 3600), (None, None)], id="is lost in mid-run"),
        pytest.param([(None, None), (None, None)], id="is lost twice"),
    ],
)
def test_a_run_is_over_when_time(times: Times) -> None:
    with pytest.raises(FeedError) as caught:
        placed(times)
    assert caught.value.reason is Reason.CAMERA_CLOCK_STEPPED


@given(st.integers(-(2**62), 2**62), st.lists(st.integers(1, LONGEST_STEP_TICKS), max_size=30))
def test_distances_are_the_cameras_own(first: int, steps: list[int]) -> None:
    times, at = [first], first
    for step in steps:
        at += step
        times.append(at)
    answer = [dts for dts, _ in placed([(time, time) for time in times])]
    assert answer == [time - first for time in times]


@pytest.mark.parametrize(
    ("camera_us", "ours_us", "trusted"),
    [(0, 500_000, False), (10_000_000, 10_900_000, True), (12_000_000, 10_900_000, False)],
)
def test_a_cameras_clock_is_trusted_within_a_second(camera_us: int, ours_us: int, trusted: bool) -> None:
    assert is_camera_time_trusted(camera_us, ours_us) is trusted
