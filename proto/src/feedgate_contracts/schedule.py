"""The owner's weekly hours: which moments are inside them.

A moment is inside if the local wall clock then shows a minute of one of the
windows: a window in the hour that a clock change skips never opens, and one in
the hour that it repeats opens twice. The one place that says so, for the
decision about a view and for every picture of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from feedgate_contracts.camera.v1.camera_pb2 import WeeklySchedule

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400
# Two weeks, for a window that this week's clock change skips, and a day at each end for midnight.
_AHEAD_DAYS: Final = 16


class ScheduleError(ValueError):
    """The schedule names no time zone this machine knows, or a window that is none."""


@dataclass(frozen=True, slots=True)
class OpenHours:
    """A stretch of time without a break."""

    opens_at_us: int
    closes_at_us: int


def present_or_next(schedule: WeeklySchedule, now_us: int) -> OpenHours | None:
    """The open hours that `now_us` lies in, else the next ones; None if there are none.

    Windows that touch, also across midnight, are one stretch. Looks back one
    day and ahead two weeks, so hours that never end begin and end there.

    Args:
        schedule: the owner's; no windows mean never.
        now_us: microseconds since the Unix epoch.

    Raises:
        ScheduleError: the schedule cannot be understood, or the calendar ends there.
    """
    try:
        zone = ZoneInfo(schedule.time_zone)
    except (ValueError, OSError, KeyError) as error:
        raise ScheduleError(f"time zone `{schedule.time_zone[:60]}` is not known here") from error
    windows = tuple(sorted((w.weekday, w.from_minute, w.until_minute) for w in schedule.windows))
    for weekday, from_minute, until_minute in windows:
        if not (1 <= weekday <= 7 and from_minute < until_minute <= 1440):
            raise ScheduleError(
                f"window {weekday} {from_minute}..{until_minute} seen; "
                "allowed: days 1..7, minutes 0..1440, the first before the second"
            )
    try:
        today = datetime.fromtimestamp(now_us // _SECOND_US, zone).date()
        stretches = _stretches(schedule.time_zone, windows, today)
    except (OverflowError, ValueError) as error:
        raise ScheduleError(f"{now_us} µs is at an end of the calendar") from error
    for opens_s, closes_s in stretches:
        if now_us < closes_s * _SECOND_US:
            return OpenHours(opens_s * _SECOND_US, closes_s * _SECOND_US)
    return None


def opens_within(schedule: WeeklySchedule, from_us: int, until_us: int) -> bool:
    """Whether some moment of [from_us, until_us) is inside.

    Raises:
        ScheduleError: the schedule cannot be understood, or the calendar ends there.
    """
    hours = present_or_next(schedule, from_us)
    return hours is not None and max(from_us, hours.opens_at_us) < until_us


@lru_cache(maxsize=4096)
def _stretches(
    time_zone: str, windows: tuple[tuple[int, int, int], ...], today: date
) -> tuple[tuple[int, int], ...]:
    """Open stretches from yesterday on, as seconds since the Unix epoch, merged and in order.

    Kept, because every view of a camera asks for the same ones.
    """
    days = [today + timedelta(days=ahead) for ahead in range(-1, _AHEAD_DAYS)]
    steady = list(
        _steady(ZoneInfo(time_zone), _midnight_s(days[0]) - _DAY_S, _midnight_s(days[-1]) + 2 * _DAY_S)
    )
    return tuple(_merged(sorted(piece for day in days for piece in _pieces(steady, windows, day))))


def _pieces(
    steady: Iterable[tuple[int, int, int]], windows: tuple[tuple[int, int, int], ...], day: date
) -> Iterator[tuple[int, int]]:
    midnight_s = _midnight_s(day)
    for from_s, until_s, offset_s in steady:
        for weekday, from_minute, until_minute in windows:
            if weekday == day.isoweekday():
                opens_s = max(from_s, midnight_s + from_minute * 60 - offset_s)
                closes_s = min(until_s, midnight_s + until_minute * 60 - offset_s)
                if opens_s < closes_s:
                    yield opens_s, closes_s


def _midnight_s(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _steady(zone: ZoneInfo, from_s: int, until_s: int) -> Iterator[tuple[int, int, int]]:
    """Parts of a stretch of time in which the zone's offset stays the same, with that offset."""
    began_s, offset_s = from_s, _offset_s(zone, from_s)
    for probe_s in range(from_s + 3600, until_s + 1, 3600):
        if _offset_s(zone, probe_s) != offset_s:
            change_s = _change(zone, probe_s - 3600, probe_s)
            yield began_s, change_s, offset_s
            began_s, offset_s = change_s, _offset_s(zone, change_s)
    yield began_s, until_s, offset_s


def _change(zone: ZoneInfo, before_s: int, after_s: int) -> int:
    """The first second with the offset that `after_s` has."""
    old = _offset_s(zone, before_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _offset_s(zone, middle_s) == old:
            before_s = middle_s
        else:
            after_s = middle_s
    return after_s


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _merged(pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    began_s: int | None = None
    ended_s = 0
    for opens_s, closes_s in pieces:
        if began_s is not None and opens_s <= ended_s:
            ended_s = max(ended_s, closes_s)
            continue
        if began_s is not None:
            yield began_s, ended_s
        began_s, ended_s = opens_s, closes_s
    if began_s is not None:
        yield began_s, ended_s
