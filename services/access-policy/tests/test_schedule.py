from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedgate_access_policy.schedule import ScheduleError, WeeklySchedule, WeeklyWindow
from feedgate_kit.clock import to_us

BUENOS_AIRES = "America/Argentina/Buenos_Aires"  # three hours behind UTC all year


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


WORKDAY = WeeklySchedule(BUENOS_AIRES, (WeeklyWindow(5, 8 * 60, 20 * 60),))  # Fridays


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
def test_a_window_opens_where_it_meets_the_owners_hours(start: str, end: str, opens: bool) -> None:
    assert WORKDAY.opens_within(at(start), at(end)) is opens


def test_hours_follow_the_wall_clock_through_a_change_of_offset() -> None:
    # London goes to UTC+1 on 2027-03-28, a Sunday, at 01:00 UTC.
    sundays = WeeklySchedule("Europe/London", (WeeklyWindow(7, 2 * 60, 3 * 60),))
    assert not sundays.opens_within(at("2027-03-28T00:00"), at("2027-03-28T01:00"))
    assert sundays.opens_within(at("2027-03-28T01:00"), at("2027-03-28T01:30"))
    assert not sundays.opens_within(at("2027-03-28T02:00"), at("2027-03-28T03:00"))


def test_a_schedule_without_windows_never_opens() -> None:
    assert not WeeklySchedule(BUENOS_AIRES, ()).opens_within(at("2027-01-01T00:00"), at("2027-02-01T00:00"))


@pytest.mark.parametrize("name", ["Nowhere/Land", "", "../etc/passwd", "America"])
def test_an_unknown_time_zone_is_an_error_and_not_an_answer(name: str) -> None:
    with pytest.raises(ScheduleError):
        WeeklySchedule(name, (WeeklyWindow(1, 0, 1440),)).opens_within(0, 1)


@settings(deadline=None, derandomize=True)
@given(
    start_us=st.integers(at("2027-01-01T00:00"), at("2027-12-01T00:00")),
    minutes=st.integers(1, 300),
    window=st.builds(
        lambda day, first, length: WeeklyWindow(day, first, min(1440, first + length)),
        st.integers(1, 7),
        st.integers(0, 1439),
        st.integers(1, 600),
    ),
)
def test_it_opens_if_and_only_if_some_minute_of_it_does(
    start_us: int, minutes: int, window: WeeklyWindow
) -> None:
    schedule = WeeklySchedule("Europe/London", (window,))
    end_us = start_us + minutes * 60_000_000
    moments = range(start_us, end_us, 20_000_000)
    assert schedule.opens_within(start_us, end_us) == any(
        schedule.opens_within(moment, moment + 1) for moment in moments
    )
