from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_registry.schedule import (
    DAY_MINUTES,
    DAYS,
    Schedule,
    ScheduleError,
    Span,
    Window,
    covers,
    weekly,
)

BUENOS_AIRES = "America/Argentina/Buenos_Aires"
WEEK_MINUTES = 7 * DAY_MINUTES


def minutes_of(schedule: Schedule) -> set[int]:
    """Every open minute of the week, Monday 00:00 being 0."""
    return {
        (window.weekday - 1) * DAY_MINUTES + minute
        for window in schedule.windows
        for minute in range(window.from_minute, window.until_minute)
    }


def clock_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def spans(draw: st.DrawFn) -> Span:
    begins = draw(st.integers(0, DAY_MINUTES - 1))
    ends = draw(st.integers(0, DAY_MINUTES).filter(lambda minute: minute != begins))
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return Span(tuple(days), clock_time(begins), clock_time(ends))


SCHEDULES = st.lists(spans(), min_size=1, max_size=5).map(lambda some: weekly("UTC", some))


def test_office_hours() -> None:
    assert weekly(BUENOS_AIRES, [Span(("mon", "fri"), "08:00", "20:30")]) == Schedule(
        BUENOS_AIRES, (Window(1, 480, 1230), Window(5, 480, 1230))
    )


def test_a_night_is_split_at_midnight_and_sundays_ends_on_monday() -> None:
    assert weekly("UTC", [Span(("sun",), "22:00", "06:00")]).windows == (
        Window(1, 0, 360),
        Window(7, 1320, 1440),
    )


@pytest.mark.parametrize("until", ["00:00", "24:00"])
def test_midnight_at_the_end_leaves_nothing_for_the_next_day(until: str) -> None:
    assert weekly("UTC", [Span(("sat",), "22:00", until)]).windows == (Window(6, 1320, 1440),)


def test_windows_that_overlap_or_touch_become_one() -> None:
    some = [
        Span(("mon",), "12:00", "14:00"),
        Span(("mon",), "08:00", "12:00"),
        Span(("mon",), "09:00", "10:00"),
    ]
    assert weekly("UTC", some).windows == (Window(1, 480, 840),)


@given(st.lists(spans(), min_size=1, max_size=5))
def test_a_schedule_is_open_exactly_when_its_spans_say(some: list[Span]) -> None:
    said: set[int] = set()
    for span in some:
        begins, ends = (int(text[:2]) * 60 + int(text[3:]) for text in (span.begins, span.ends))
        length = (ends - begins) % DAY_MINUTES or DAY_MINUTES
        for day in span.days:
            start = DAYS.index(day) * DAY_MINUTES + begins
            said |= {minute % WEEK_MINUTES for minute in range(start, start + length)}
    schedule = weekly("UTC", some)
    assert minutes_of(schedule) == said
    for window in schedule.windows:
        assert 1 <= window.weekday <= 7
        assert 0 <= window.from_minute < window.until_minute <= DAY_MINUTES
    for one, following in pairwise(schedule.windows):
        assert one.weekday < following.weekday or one.until_minute < following.from_minute


@given(SCHEDULES, SCHEDULES)
def test_a_schedule_covers_another_when_it_is_open_at_all_its_minutes(one: Schedule, other: Schedule) -> None:
    assert covers(one, other) == (minutes_of(other) <= minutes_of(one))
    assert covers(one, one)
    assert covers(None, one)


def test_always_covers_whatever_is_said_of_zones_and_is_covered_by_nothing_less() -> None:
    whole_week = weekly("UTC", [Span(DAYS, "00:00", "24:00")])
    night = weekly(BUENOS_AIRES, [Span(DAYS, "22:00", "06:00")])
    assert covers(whole_week, night)
    assert covers(whole_week, None)
    assert covers(None, None)
    assert not covers(night, None)
    assert not covers(night, whole_week)


def test_windows_of_two_zones_are_not_compared() -> None:
    here, there = (weekly(zone, [Span(("mon",), "08:00", "09:00")]) for zone in ("UTC", "Europe/London"))
    assert not covers(here, there)


def test_the_record_carries_the_same_windows() -> None:
    message = weekly(BUENOS_AIRES, [Span(("sun",), "22:00", "06:00")]).to_message()
    assert message.time_zone == BUENOS_AIRES
    windows = [(one.weekday, one.from_minute, one.until_minute) for one in message.windows]
    assert windows == [(1, 0, 360), (7, 1320, 1440)]


@pytest.mark.parametrize(
    ("time_zone", "span", "path"),
    [
        pytest.param("Mars/Olympus", Span(("mon",), "08:00", "09:00"), "time_zone", id="no such zone"),
        pytest.param("../UTC", Span(("mon",), "08:00", "09:00"), "time_zone", id="a path"),
        pytest.param("localtime", Span(("mon",), "08:00", "09:00"), "time_zone", id="the host's zone"),
        pytest.param("UTC", Span((), "08:00", "09:00"), "windows.0.days", id="no day"),
        pytest.param("UTC", Span(("mon",), "8:00", "09:00"), "windows.0.from", id="one digit"),
        pytest.param("UTC", Span(("mon",), "24:00", "09:00"), "windows.0.from", id="begins at the end"),
        pytest.param("UTC", Span(("mon",), "08:00", "24:01"), "windows.0.until", id="after the end"),
        pytest.param("UTC", Span(("mon",), "08:00", "08:60"), "windows.0.until", id="minute 60"),
        pytest.param("UTC", Span(("mon",), "08:00", "08:00"), "windows.0.until", id="empty"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_place(time_zone: str, span: Span, path: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        weekly(time_zone, [span])
    assert refused.value.path == path
    assert refused.value.allowed


def test_a_schedule_has_a_window() -> None:
    with pytest.raises(ScheduleError, match="at least one window"):
        weekly("UTC", [])
