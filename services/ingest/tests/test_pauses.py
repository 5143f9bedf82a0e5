"""Pauses grow, are drawn apart, and begin anew after a good run or the owner's act."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.pauses import GOOD_RUN_S, Attempts, PausePlan
from feedgate_ingest.reasons import Pace

PLAN = PausePlan(first_s=0.5, factor=2, longest_s=30, slow_s=60)


@pytest.mark.parametrize(
    ("pace", "failures", "pause_s"),
    [
        (Pace.GROWING, 1, 0.5),
        (Pace.GROWING, 2, 1),
        (Pace.GROWING, 5, 8),
        (Pace.GROWING, 7, 30),
        (Pace.GROWING, 10_000, 30),
        (Pace.SLOW, 1, 60),
        (Pace.SLOW, 9, 60),
        (Pace.AT_ONCE, 1, 0),
        (Pace.AT_ONCE, 3, 2),
    ],
)
def test_longest_pauses(pace: Pace, failures: int, pause_s: float) -> None:
    assert PLAN.pause_s(pace, failures, draw=1.0) == pause_s


@given(st.sampled_from(list(Pace)), st.integers(1, 50), st.floats(0, 1))
def test_a_pause_lies_between_half_its_length_and_all_of_it(pace: Pace, failures: int, draw: float) -> None:
    longest_s = PLAN.pause_s(pace, failures, 1.0)
    assert longest_s / 2 <= PLAN.pause_s(pace, failures, draw) <= longest_s


def test_failures_in_a_row_lengthen_the_pause() -> None:
    attempts = Attempts(PLAN)
    for now_s, due_at_s in ((0.0, 0.5), (1.0, 2.0), (3.0, 5.0)):
        attempts.ended(Pace.GROWING, lived_s=0, now_s=now_s, draw=1.0)
        assert attempts.due_at_s == due_at_s


def test_a_good_run_begins_anew() -> None:
    attempts = Attempts(PLAN, failures=6)
    attempts.ended(Pace.GROWING, lived_s=GOOD_RUN_S, now_s=100, draw=1.0)
    assert attempts.due_at_s == 100.5


def test_the_owners_act_makes_the_next_attempt_due() -> None:
    attempts = Attempts(PLAN)
    attempts.ended(Pace.SLOW, lived_s=0, now_s=100, draw=1.0)
    attempts.forget()
    assert attempts.due_at_s < 100
