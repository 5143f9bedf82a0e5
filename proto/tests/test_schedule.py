"""The owner's hours, judged by what a wall clock shows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedgate_contracts.camera.v1.camera_pb2 import WeeklySchedule, WeeklyWindow
from feedgate_contracts.schedule import OpenHours, ScheduleError, opens_within, present_or_next

# Berlin: clocks go forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
# Lord Howe moves by half an hour, St John's lies on a half, Kathmandu on three quarters.
ZONES = ["UTC", "America/Argentina/Buenos_Aires", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US


def to_us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def schedule(zone: str, *windows: tuple[int, int, int]) -> WeeklySchedule:
    return WeeklySchedule(
        time_zone=zone,
        windows=[WeeklyWindow(weekday=d, from_minute=f, until_minute=u) for d, f, u in windows],
    )


def wall_clock_says_open(zone: str, windows: list[tuple[int, int, int]], at_us: int) -> bool:
    local = datetime.fromtimestamp(at_us // SECOND_US, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    return any(d == local.isoweekday() and f <= minute < u for d, f, u in windows)


def window_lists() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    edges = st.sampled_from([0, 30, 60, 90, 119, 120, 150, 180, 600, 1439, 1440])
    window = st.tuples(st.integers(1, 7), edges, edges).filter(lambda w: w[1] < w[2])
    return st.lists(window, max_size=5)


moments = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2026, 4, 4, 15, tzinfo=UTC),
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        datetime(2026, 6, 1, tzinfo=UTC),
    ]
).flatmap(lambda at: st.integers(-3 * 1440, 3 * 1440).map(lambda m: to_us(at + timedelta(minutes=m))))


def oracle(zone: str, windows: list[tuple[int, int, int]], from_us: int, until_us: int) -> bool:
    """Whether a wall clock shows an open minute at the beginning or at a whole minute after it."""
    whole = range((from_us // MINUTE_US + 1) * MINUTE_US, until_us, MINUTE_US)
    return from_us < until_us and any(
        wall_clock_says_open(zone, windows, at_us) for at_us in (from_us, *whole)
    )


@settings(deadline=None)
@given(zone=st.sampled_from(ZONES), windows=window_lists(), now_us=moments)
def test_a_minute_is_inside_exactly_when_the_wall_clock_says_so(
    zone: str, windows: list[tuple[int, int, int]], now_us: int
) -> None:
    weekly = schedule(zone, *windows)
    for at_us in range(now_us, now_us + 1440 * MINUTE_US, MINUTE_US):
        hours = present_or_next(weekly, at_us)
        is_open = hours is not None and hours.opens_at_us <= at_us
        assert is_open == wall_clock_says_open(zone, windows, at_us)


@settings(deadline=None)
@given(zone=st.sampled_from(ZONES), windows=window_lists(), now_us=moments)
def test_the_hours_are_the_next_and_open_from_end_to_end(
    zone: str, windows: list[tuple[int, int, int]], now_us: int
) -> None:
    hours = present_or_next(schedule(zone, *windows), now_us)
    if hours is None:
        assert not oracle(zone, windows, now_us, now_us + 15 * 1440 * MINUTE_US)
        return
    assert now_us < hours.closes_at_us
    assert hours.opens_at_us < hours.closes_at_us
    assert not oracle(zone, windows, now_us, hours.opens_at_us)
    if now_us - hours.opens_at_us < 1440 * MINUTE_US:  # it looks back a day
        assert wall_clock_says_open(zone, windows, hours.opens_at_us)
    if hours.closes_at_us - now_us < 14 * 1440 * MINUTE_US:
        inside = range(max(now_us, hours.opens_at_us), hours.closes_at_us, MINUTE_US)
        assert all(wall_clock_says_open(zone, windows, at_us) for at_us in inside)
        assert wall_clock_says_open(zone, windows, hours.closes_at_us - 1)
        assert not wall_clock_says_open(zone, windows, hours.closes_at_us)


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    windows=window_lists(),
    from_us=st.builds(int.__add__, moments, st.integers(0, 2 * MINUTE_US)),
    length_us=st.integers(0, 120 * MINUTE_US) | st.integers(0, 20 * 1440 * MINUTE_US),
)
def test_a_stretch_of_time_opens_exactly_when_one_of_its_minutes_does(
    zone: str, windows: list[tuple[int, int, int]], from_us: int, length_us: int
) -> None:
    until_us = from_us + length_us
    assert opens_within(schedule(zone, *windows), from_us, until_us) == oracle(
        zone, windows, from_us, until_us
    )


FRIDAYS = schedule("America/Argentina/Buenos_Aires", (5, 8 * 60, 20 * 60))  # three hours behind UTC all year


@pytest.mark.parametrize(
    ("start", "end", "opens"),
    [
        pytest.param("2027-01-15T10:00", "2027-01-15T11:00", False, id="before opening"),
        pytest.param("2027-01-15T10:00", "2027-01-15T11:00:00.000001", True, id="reaches into opening"),
        pytest.param("2027-01-15T22:59:59", "2027-01-16T10:00", True, id="the last second"),
        pytest.param("2027-01-15T23:00", "2027-01-16T10:00", False, id="from closing on"),
        pytest.param("2027-01-14T12:00", "2027-01-14T13:00", False, id="the wrong day"),
        pytest.param("2027-01-16T00:00", "2027-01-22T10:00", False, id="a week less a moment"),
        pytest.param("2027-01-16T00:00", "2027-03-01T00:00", True, id="longer than a week"),
        pytest.param("2027-01-15T12:00", "2027-01-15T12:00", False, id="no time at all"),
    ],
)
def test_a_stretch_opens_where_it_meets_the_owners_hours(start: str, end: str, opens: bool) -> None:
    from_us, until_us = (to_us(datetime.fromisoformat(f"{text}+00:00")) for text in (start, end))
    assert opens_within(FRIDAYS, from_us, until_us) is opens


def at(zone: str, year: int, month: int, day: int, hour: int, minute: int = 0, fold: int = 0) -> int:
    return to_us(datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone), fold=fold))


def test_windows_that_touch_at_midnight_are_one_stretch() -> None:
    night = schedule("America/Argentina/Buenos_Aires", (1, 1320, 1440), (2, 0, 360))
    zone = night.time_zone
    assert present_or_next(night, at(zone, 2026, 6, 1, 23)) == OpenHours(
        at(zone, 2026, 6, 1, 22), at(zone, 2026, 6, 2, 6)
    )


def test_a_window_in_the_hour_that_spring_skips_does_not_open_that_day() -> None:
    berlin = schedule("Europe/Berlin", (7, 120, 180))
    hours = present_or_next(berlin, at("Europe/Berlin", 2026, 3, 29, 0))
    assert hours is not None
    assert hours.opens_at_us == at("Europe/Berlin", 2026, 4, 5, 2)


def test_a_window_that_this_weeks_clock_change_skips_is_found_in_the_next_week() -> None:
    berlin = schedule("Europe/Berlin", (7, 120, 180))
    monday_us = at("Europe/Berlin", 2026, 3, 23, 0)
    hours = present_or_next(berlin, monday_us)
    assert hours is not None
    assert hours.opens_at_us == at("Europe/Berlin", 2026, 4, 5, 2)
    assert opens_within(berlin, monday_us, hours.opens_at_us + 1)
    assert not opens_within(berlin, monday_us, hours.opens_at_us)


def test_a_window_in_the_hour_that_autumn_repeats_opens_twice() -> None:
    berlin = schedule("Europe/Berlin", (7, 120, 150))
    first = present_or_next(berlin, at("Europe/Berlin", 2026, 10, 25, 0))
    assert first == OpenHours(at("Europe/Berlin", 2026, 10, 25, 2), at("Europe/Berlin", 2026, 10, 25, 2, 30))
    second = present_or_next(berlin, first.closes_at_us)
    assert second == OpenHours(
        at("Europe/Berlin", 2026, 10, 25, 2, fold=1), at("Europe/Berlin", 2026, 10, 25, 2, 30, fold=1)
    )


def test_no_windows_mean_never_and_all_windows_mean_always() -> None:
    now_us = at("UTC", 2026, 6, 3, 12)
    assert present_or_next(schedule("UTC"), now_us) is None
    always = present_or_next(schedule("UTC", *((day, 0, 1440) for day in range(1, 8))), now_us)
    assert always is not None
    assert always.closes_at_us - always.opens_at_us >= 9 * 1440 * MINUTE_US


@pytest.mark.parametrize(
    "unusable",
    [
        schedule("Europe/Atlantis", (1, 0, 1)),
        schedule("", (1, 0, 1)),
        schedule("../../etc/passwd", (1, 0, 1)),
        schedule("America", (1, 0, 1)),
        schedule("UTC", (8, 0, 1)),
        schedule("UTC", (1, 60, 60)),
        schedule("UTC", (1, 0, 1441)),
    ],
    ids=["unknown zone", "no zone", "a path", "a folder", "no weekday", "empty", "beyond the day"],
)
def test_a_schedule_nobody_can_understand_is_an_error(unusable: WeeklySchedule) -> None:
    with pytest.raises(ScheduleError):
        present_or_next(unusable, at("UTC", 2026, 6, 3, 12))
    with pytest.raises(ScheduleError):
        opens_within(unusable, at("UTC", 2026, 6, 3, 12), at("UTC", 2026, 6, 3, 13))


@pytest.mark.parametrize("at_us", [-(2**62), to_us(datetime(9999, 12, 20, tzinfo=UTC)), 2**62])
def test_where_the_calendar_ends_there_is_no_answer(at_us: int) -> None:
    with pytest.raises(ScheduleError, match="calendar"):
        present_or_next(schedule("UTC", (1, 0, 1)), at_us)
