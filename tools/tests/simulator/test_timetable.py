import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_tools.simulator.timetable import Timetable

TABLE = Timetable(began_s=100.0, fps=25)


@pytest.mark.parametrize(
    ("last", "now_s", "patience_s", "expected"),
    [
        pytest.param(-1, 99.0, 0.0, 0, id="the first one"),
        pytest.param(4, 100.17, 0.0, 5, id="in time"),
        pytest.param(4, 100.22, 0.04, 5, id="a little late"),
        pytest.param(4, 101.01, 0.04, 26, id="too late: what is due next"),
        pytest.param(4, 101.01, 1.0, 5, id="late, and catching up"),
    ],
)
def test_the_next_picture(last: int, now_s: float, patience_s: float, expected: int) -> None:
    assert TABLE.next_after(last, now_s, patience_s=patience_s) == expected


@given(st.integers(1, 120), st.integers(0, 10**6))
def test_rtp_time_never_drifts_from_the_timetable(fps: int, number: int) -> None:
    table = Timetable(began_s=0.0, fps=fps)
    assert abs(table.picture_ticks(number, 90_000) - table.due_s(number) * 90_000) <= 1
