"""A camera's times become a run's by one shift, and never by another."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.timeline import LONGEST_STEP_TICKS, Timeline, is_camera_time_trusted

Times = list[int | None]
P = 3600  # one picture at 25 a second


def placed(times: Times, reordered: int = 0) -> list[tuple[int, int]]:
    timeline = Timeline(reordered)
    return [timeline.place(time) for time in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([9000, 9000 + P, 9000 + 3 * P], [0, P, 3 * P], id="counted from the first"),
        pytest.param([None, P, 2 * P], [0, P, 2 * P], id="the first lost its time and is tick 0"),
        pytest.param(
            [None, -5, P - 5],
            [0, P, 2 * P],
            id="the second cannot follow tick 0: the first was one picture before it",
        ),
    ],
)
def test_without_b_pictures_both_times_are_the_same(times: Times, expected: list[int]) -> None:
    assert placed(times) == [(ticks, ticks) for ticks in expected]


@pytest.mark.parametrize(
    ("reordered", "shown", "expected"),
    [
        pytest.param(
            1,
            [0, 3, 1, 2, 6, 4, 5],
            [(0, 1), (1, 4), (2, 2), (3, 3), (4, 7), (5, 5), (6, 6)],
            id="two B-pictures between others",
        ),
        pytest.param(
            2,
            [0, 4, 2, 1, 3, 8, 6, 5, 7],
            [(0, 2), (1, 6), (2, 4), (3, 3), (4, 5), (5, 10), (6, 8), (7, 7), (8, 9)],
            id="B-pictures that others refer to",
        ),
    ],
)
def test_pictures_are_decoded_in_the_order_they_came(
    reordered: int, shown: list[int], expected: list[tuple[int, int]]
) -> None:
    times: Times = [P * number for number in shown]
    assert placed(times, reordered) == [(P * dts, P * pts) for dts, pts in expected]


@pytest.mark.parametrize(
    ("times", "reordered"),
    [
        pytest.param([9000, 9000], 0, id="stands still"),
        pytest.param([9000, 6000], 0, id="goes back"),
        pytest.param([0, LONGEST_STEP_TICKS + 1], 0, id="jumps"),
        pytest.param([0, P, None], 0, id="is lost in mid-run"),
        pytest.param([None, None], 0, id="is lost twice"),
        pytest.param([0, 3 * P, 1 * P, 2 * P], 0, id="goes back without B-pictures announced"),
        pytest.param([0, 3 * P, 1 * P, -9 * P, 1 * P], 1, id="goes back further than B-pictures may"),
    ],
)
def test_a_run_is_over_when_time(times: Times, reordered: int) -> None:
    with pytest.raises(FeedError) as caught:
        placed(times, reordered)
    assert caught.value.reason is Reason.CAMERA_CLOCK_STEPPED


@given(st.integers(-(2**62), 2**62), st.lists(st.integers(1, LONGEST_STEP_TICKS), max_size=30))
def test_distances_are_the_cameras_own(first: int, steps: list[int]) -> None:
    times: Times = [first, *(first + total for total in accumulate(steps))]
    assert placed(times) == [(total, total) for total in (0, *accumulate(steps))]


@given(st.data(), st.integers(1, 4), st.lists(st.integers(1, 20_000), min_size=1, max_size=40))
def test_nothing_is_shown_before_it_is_decoded(data: st.DataObject, reordered: int, steps: list[int]) -> None:
    """Any order that an encoder may send, with at most `reordered` pictures shown later than the next one."""
    unsent = list(accumulate(steps))
    sent = [0]
    held: list[int] = []  # sent already, though something earlier is not
    while unsent:
        choices = len(unsent) if len(held) < reordered else 1
        time = unsent.pop(data.draw(st.integers(0, min(choices, reordered + 1) - 1)))
        sent.append(time)
        held = [each for each in (*held, time) if unsent and each > unsent[0]]
    answer = placed(list(sent), reordered)
    assert all(dts <= pts for dts, pts in answer)
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(answer))
    assert [pts - answer[0][1] for _, pts in answer] == sent


@pytest.mark.parametrize(
    ("camera_us", "ours_us", "trusted"),
    [(0, 500_000, False), (10_000_000, 10_900_000, True), (12_000_000, 10_900_000, False)],
)
def test_a_cameras_clock_is_trusted_within_a_second(camera_us: int, ours_us: int, trusted: bool) -> None:
    assert is_camera_time_trusted(camera_us, ours_us) is trusted
