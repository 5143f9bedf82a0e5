"""The owner's weekly hours."""

from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from feedgate_kit.clock import MICROSECONDS, to_datetime
from feedgate_kit.errors import FeedgateError

_MINUTE_US = 60 * MICROSECONDS
# After eight days every weekly window has come round.
_LONGEST_US = 8 * 86_400 * MICROSECONDS


class ScheduleError(FeedgateError):
    """A schedule names a time zone that does not exist here."""


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """A part of one local day."""

    weekday: int  # ISO 8601: 1 is Monday
    from_minute: int  # of the day
    until_minute: int  # exclusive


@dataclass(frozen=True, slots=True)
class WeeklySchedule:
    """Windows of local time that repeat every week."""

    time_zone: str
    windows: tuple[WeeklyWindow, ...]

    def opens_within(self, from_us: int, until_us: int) -> bool:
        """Whether some moment of [from_us, until_us) lies in a window.

        Windows begin and end on whole minutes and so do changes of a zone's
        offset, so the start and each whole minute after it are all that can
        differ. Asking moments, not wall times, leaves no hour doubtful when
        clocks change.

        Raises:
            ScheduleError: the time zone is unknown.
        """
        zone = _zone(self.time_zone)
        until_us = min(until_us, from_us + _LONGEST_US)
        moment_us = from_us
        while moment_us < until_us:
            if self._holds(moment_us, zone):
                return True
            moment_us = (moment_us // _MINUTE_US + 1) * _MINUTE_US
        return False

    def _holds(self, moment_us: int, zone: ZoneInfo) -> bool:
        local = to_datetime(moment_us).astimezone(zone)
        minute = local.hour * 60 + local.minute
        return any(
            window.weekday == local.isoweekday() and window.from_minute <= minute < window.until_minute
            for window in self.windows
        )


@lru_cache(maxsize=1_000)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"time zone `{name[:60]}` is unknown") from error
