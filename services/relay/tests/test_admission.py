"""Admission says what design §4 says, and why not where it says no."""

from dataclasses import dataclass, replace

from hypothesis import example, given
from hypothesis import strategies as st

from feedgate_kit.clock import MICROSECONDS
from feedgate_relay.admission import (
    NOTHING_VOUCHED,
    Limits,
    Refusal,
    Source,
    admit,
    vouched,
    why_not,
)
from feedgate_relay.windows import Shut, Window, shut_window

NEWEST = Source((3, 1), bytes(16))
OLDER = Source((2, 9), bytes(16))
SECOND = MICROSECONDS


@dataclass
class Unit:
    received_at_us: int
    shown_until_us: int
    mask_version: int
    source: Source


@dataclass(frozen=True)
class Beat:
    as_of_us: int
    read_at_s: float


@dataclass(frozen=True)
class Case:
    """Everything the formula mentions, relative to a moment `now`, microseconds."""

    limits: Limits
    opened: int  # before now
    closes: int  # after now
    received: int  # before now
    masks: tuple[int, int]
    is_newest: bool
    ages: tuple[int, int]  # of the newest heartbeat of each copy
    silences: tuple[int, int]  # since each was read

    def by_the_book(self) -> bool:
        """The formula as design §4 has it."""
        margin = self.limits.skew_us + self.limits.stall_us
        fresh = all(-self.limits.skew_us <= age < 4 * SECOND for age in self.ages)
        heard = all(silence < 4 * SECOND for silence in self.silences)
        return (
            -self.opened + margin <= -self.received
            and self.closes > 0
            and self.received <= self.limits.max_age_us
            and self.masks[0] == self.masks[1]
            and self.is_newest
            and fresh
            and heard
        )

    def answers(self, now_us: int = 1_795_000_000 * SECOND) -> tuple[bool, Refusal | None]:
        monotonic_us = 5_000 * SECOND
        received_at_us = now_us - self.received
        unit = Unit(
            received_at_us,
            received_at_us + self.limits.max_age_us,
            self.masks[0],
            NEWEST if self.is_newest else OLDER,
        )
        opens_at_us = now_us - self.opened
        window = Window(opens_at_us, opens_at_us + self.limits.margin_us, now_us + self.closes, self.masks[1])
        beats = [
            Beat(now_us - age, (monotonic_us - silence) / SECOND)
            for age, silence in zip(self.ages, self.silences, strict=True)
        ]
        asked = (unit, NEWEST, window, vouched(self.limits, *beats), now_us, monotonic_us / SECOND)
        return admit(*asked), why_not(*asked)


GOOD = Case(
    limits=Limits(),
    opened=60 * SECOND,
    closes=60 * SECOND,
    received=40_000,
    masks=(1, 1),
    is_newest=True,
    ages=(300_000, 200_000),
    silences=(100_000, 100_000),
)


def near(*edges: int, reach: int = 5 * SECOND) -> st.SearchStrategy[int]:
    """Integers around the edges of a rule."""
    beside = st.sampled_from(edges).flatmap(lambda edge: st.integers(edge - 2, edge + 2))
    return beside | st.integers(-reach, reach)


cases = st.builds(
    Case,
    limits=st.builds(Limits, skew_us=st.sampled_from([0, 500_000]), stall_us=st.sampled_from([0, 500_000])),
    opened=near(0, SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND),
    closes=near(0),
    received=near(0, SECOND, 3 * SECOND),
    masks=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    is_newest=st.sampled_from([True, True, True, False]),
    ages=st.tuples(near(0, -500_000, 4 * SECOND), near(0, -500_000, 4 * SECOND)),
    # Read at most as often as the monotonic clock's float can tell apart: whole milliseconds.
    silences=st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)).map(
        lambda s: (s[0] * 1000, s[1] * 1000)
    ),
)
almost_good = st.sampled_from(
    [
        "opened",
        "closes",
        "received",
        "masks",
        "is_newest",
        "ages",
        "silences",
        "limits",
    ]
).flatmap(lambda name: cases.map(lambda case: replace(GOOD, **{name: getattr(case, name)})))


@given(case=cases | almost_good)
@example(case=GOOD)
@example(case=replace(GOOD, received=3 * SECOND))
@example(case=replace(GOOD, received=3 * SECOND + 1))
@example(case=replace(GOOD, opened=SECOND + 40_000))
@example(case=replace(GOOD, opened=SECOND + 39_999))
@example(case=replace(GOOD, closes=0))
@example(case=replace(GOOD, closes=1))
@example(case=replace(GOOD, ages=(4 * SECOND, 0)))
@example(case=replace(GOOD, ages=(4 * SECOND - 1, -500_000)))
@example(case=replace(GOOD, ages=(0, -500_001)))
@example(case=replace(GOOD, silences=(0, 4 * SECOND)))
def test_admission_is_the_formula_and_names_a_reason_exactly_where_it_refuses(case: Case) -> None:
    admitted, refusal = case.answers()
    assert admitted == case.by_the_book()
    assert (refusal is None) == admitted


def test_each_term_alone_refuses_with_its_own_reason() -> None:
    broken = {
        Refusal.BEFORE_WINDOW: replace(GOOD, opened=SECOND),
        Refusal.WINDOW_CLOSED: replace(GOOD, closes=0),
        Refusal.TOO_OLD: replace(GOOD, received=4 * SECOND),
        Refusal.OTHER_MASKS: replace(GOOD, masks=(1, 2)),
        Refusal.NOT_NEWEST: replace(GOOD, is_newest=False),
        Refusal.NOT_FRESH: replace(GOOD, ages=(5 * SECOND, 0)),
    }
    assert {refusal: case.answers() for refusal, case in broken.items()} == {
        refusal: (False, refusal) for refusal in broken
    }
    assert set(broken) == set(Refusal)


def test_a_copy_without_a_heartbeat_vouches_for_nothing() -> None:
    assert vouched(Limits(), Beat(0, 0.0), None) is NOTHING_VOUCHED
    assert vouched(Limits()) is NOTHING_VOUCHED
    assert not NOTHING_VOUCHED.holds(0, 0.0)


def test_a_shut_window_admits_nothing_at_any_time() -> None:
    window = shut_window(Shut(2, "paused"))  # type: ignore[arg-type]
    unit = Unit(1 << 61, 1 << 61, -1, NEWEST)
    everything = vouched(Limits(), Beat(1 << 60, 0.0))
    for now_us in (-1, 0, 1 << 60):
        assert not admit(unit, NEWEST, window, everything, now_us, 0.0)
