"""The weekly schedule of an authorisation: windows of local time in a named zone."""

import re
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, get_args

from feedgate_contracts.camera.v1.camera_pb2 import WeeklySchedule, WeeklyWindow
from feedgate_kit.errors import FeedgateError

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)  # ISO 8601 order: 1 is Monday
DAY_MINUTES: Final = 24 * 60

_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_HOST_ZONES = frozenset({"Factory", "localtime", "posixrules"})
"""Names in the zone database that mean something else on every host."""


class ScheduleError(FeedgateError):
    """The schedule is not one the relay could follow."""

    def __init__(self, path: str, seen: str, allowed: str) -> None:
        super().__init__(f"{path} is `{seen}`; allowed: {allowed}")
        self.path = path
        self.seen = seen
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Span:
    """What an owner says: these days, from one clock time until another, past midnight if it is earlier."""

    days: tuple[Day, ...]
    begins: str  # `08:00`
    ends: str  # `20:00`; `24:00` is the end of the day


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """One day's minutes, `from_minute` included and `until_minute` not."""

    weekday: int  # ISO 8601: 1 is Monday
    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows in order; within a day they neither overlap nor touch."""

    time_zone: str  # IANA name
    windows: tuple[Window, ...]

    def covers(self, other: "Schedule") -> bool:
        """Whether every minute of `other` is a minute of this, whatever the zones do with their clocks."""
        if self.is_always:
            return True
        return self.time_zone == other.time_zone and all(
            any(_holds(mine, theirs) for mine in self.windows) for theirs in other.windows
        )

    @property
    def is_always(self) -> bool:
        return self.windows == tuple(Window(weekday, 0, DAY_MINUTES) for weekday in range(1, 8))

    @classmethod
    def of_message(cls, message: WeeklySchedule) -> "Schedule":
        windows = (Window(one.weekday, one.from_minute, one.until_minute) for one in message.windows)
        return cls(message.time_zone, tuple(windows))

    def to_message(self) -> WeeklySchedule:
        return WeeklySchedule(
            time_zone=self.time_zone,
            windows=[
                WeeklyWindow(
                    weekday=window.weekday,
                    from_minute=window.from_minute,
                    until_minute=window.until_minute,
                )
                for window in self.windows
            ],
        )


def weekly(time_zone: str, spans: Sequence[Span]) -> Schedule:
    """The schedule that the owner's spans mean, split at midnight, joined where they touch.

    Raises:
        ScheduleError: no such zone, day or time, or a span that is empty.
    """
    if time_zone not in _time_zones():
        raise ScheduleError("time_zone", time_zone, "an IANA name such as `America/Argentina/Buenos_Aires`")
    windows = [
        window for number, span in enumerate(spans) for window in _windows_of(f"windows.{number}", span)
    ]
    if not windows:
        raise ScheduleError("windows", "", "at least one window; leave the schedule out for always")
    return Schedule(time_zone, tuple(_joined(windows)))


def covers(outer: Schedule | None, inner: Schedule | None) -> bool:
    """Whether `inner` opens at no minute at which `outer` is shut; None is always."""
    if outer is None or outer.is_always:
        return True
    return inner is not None and outer.covers(inner)


def common_hours(one: Schedule | None, other: Schedule | None) -> Schedule | None:
    """What is open in both; without windows where nothing is, or where two zones do not let it be said."""
    if one is None or one.is_always:
        return other
    if other is None or other.is_always:
        return one
    if one.time_zone != other.time_zone:
        return Schedule(one.time_zone, ())
    windows = [_overlap(mine, theirs) for mine in one.windows for theirs in other.windows]
    return Schedule(one.time_zone, tuple(sorted(window for window in windows if window is not None)))


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - _HOST_ZONES


def _windows_of(path: str, span: Span) -> Iterable[Window]:
    if not span.days:
        raise ScheduleError(f"{path}.days", "", ", ".join(DAYS))
    begins = _minute(f"{path}.from", span.begins)
    ends = _minute(f"{path}.until", span.ends)
    if begins == DAY_MINUTES:
        raise ScheduleError(f"{path}.from", span.begins, "00:00..23:59")
    if begins == ends:
        raise ScheduleError(
            f"{path}.until", span.ends, "another time than `from`; `00:00` to `24:00` is a day"
        )
    for day in span.days:
        weekday = DAYS.index(day) + 1
        if begins < ends:
            yield Window(weekday, begins, ends)
            continue
        yield Window(weekday, begins, DAY_MINUTES)
        if ends:
            yield Window(weekday % 7 + 1, 0, ends)


def _minute(path: str, text: str) -> int:
    matched = _TIME.fullmatch(text)
    minute = int(matched[1]) * 60 + int(matched[2]) if matched else DAY_MINUTES + 1
    if minute > DAY_MINUTES:
        raise ScheduleError(path, text, "00:00..24:00")
    return minute


def _joined(windows: Iterable[Window]) -> list[Window]:
    joined: list[Window] = []
    for window in sorted(windows):
        last = joined[-1] if joined else None
        if last and last.weekday == window.weekday and window.from_minute <= last.until_minute:
            until = max(last.until_minute, window.until_minute)
            joined[-1] = Window(last.weekday, last.from_minute, until)
        else:
            joined.append(window)
    return joined


def _holds(outer: Window, inner: Window) -> bool:
    return (
        outer.weekday == inner.weekday
        and outer.from_minute <= inner.from_minute
        and inner.until_minute <= outer.until_minute
    )


def _overlap(one: Window, other: Window) -> Window | None:
    begins = max(one.from_minute, other.from_minute)
    until = min(one.until_minute, other.until_minute)
    if one.weekday != other.weekday or begins >= until:
        return None
    return Window(one.weekday, begins, until)
