"""The owner's hours, judged by what a wall clock shows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_contracts.camera.v1.camera_pb2 import WeeklySchedule, WeeklyWindow
from feedgate_kit.clock import MICROSECONDS, to_datetime, to_us
from feedgate_relay.schedule import OpenHours, ScheduleError, present_or_next

# Berlin: clocks go forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
# Lord Howe moves by half an hour, St John's lies on a half, Kathmandu on three quarters.
ZONES = ["UTC", "America/Argentina/Buenos_Aires", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
MINUTE_US = 60 * MICROSECONDS


def schedule(zone: str, *windows: tuple[int, int, int]) -> WeeklySchedule:
    return WeeklySchedule(
        time_zone=zone,
        windows=[WeeklyWindow(weekday=d, from_minute=f, until_minute=u) for d, f, u in windows],
    )


def wall_clock_says_open(zone: str, windows: list[tuple[int, int, int]], at_us: int) -> bool:
    local = to_datetime(at_us).astimezone(ZoneInfo(zone))
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


@given(zone=st.sampled_from(ZONES), windows=window_lists(), now_us=moments)
def test_hours_hold_exactly_the_minutes_at_which_the_wall_clock_says_so(
    zone: str, windows: list[tuple[int, int, int]], now_us: int
) -> None:
    hours = present_or_next(schedule(zone, *windows), now_us)
    if hours is None:
        assert not windows or not any(
            wall_clock_says_open(zone, windows, now_us + minutes * MINUTE_US)
            for minutes in range(0, 7 * 1440, 7)
        )
        return
    assert now_us < hours.closes_at_us
    assert hours.opens_at_us < hours.closes_at_us
    assert wall_clock_says_open(zone, windows, now_us) == (hours.opens_at_us <= now_us)
    for edge_us in (hours.opens_at_us, hours.closes_at_us):
        assert edge_us % MICROSECONDS == 0
    # Nothing open is missed before it, and it is open to its very ends.
    between = range(now_us, min(hours.opens_at_us, now_us + 8 * 1440 * MINUTE_US), 5 * MINUTE_US)
    assert not any(wall_clock_says_open(zone, windows, at_us) for at_us in between)
    if abs(hours.opens_at_us - now_us) < 2 * 1440 * MINUTE_US:
        assert wall_clock_says_open(zone, windows, hours.opens_at_us)
    if hours.closes_at_us - now_us < 7 * 1440 * MINUTE_US:
        assert wall_clock_says_open(zone, windows, hours.closes_at_us - 1)
        assert not wall_clock_says_open(zone, windows, hours.closes_at_us)


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
        schedule("UTC", (8, 0, 1)),
        schedule("UTC", (1, 60, 60)),
        schedule("UTC", (1, 0, 1441)),
    ],
    ids=["unknown zone", "no zone", "a path", "no weekday", "empty", "beyond the day"],
)
def test_a_schedule_nobody_can_understand_is_an_error(unusable: WeeklySchedule) -> None:
    with pytest.raises(ScheduleError):
        present_or_next(unusable, at("UTC", 2026, 6, 3, 12))
