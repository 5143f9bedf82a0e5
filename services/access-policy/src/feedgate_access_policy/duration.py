"""ISO 8601 durations as the jurisdiction packs write them."""

import re

from feedgate_kit.clock import MICROSECONDS

DAY_US = 86_400 * MICROSECONDS

_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
# A right is never stretched: a month is its shortest, a year too.
_UNITS_US = {
    "years": 365 * DAY_US,
    "months": 28 * DAY_US,
    "weeks": 7 * DAY_US,
    "days": DAY_US,
    "hours": 3_600 * MICROSECONDS,
    "minutes": 60 * MICROSECONDS,
    "seconds": MICROSECONDS,
}


def duration_us(text: str) -> int:
    """Microseconds of a duration such as `P1D` or `PT1H30M`.

    Raises:
        ValueError: it is not one.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groupdict().values()):
        raise ValueError(f"`{text[:40]}` is not an ISO 8601 duration such as `P1D` or `PT1H`")
    return sum(int(count) * _UNITS_US[unit] for unit, count in match.groupdict().items() if count)
