"""The two clocks every rule is given: wall time and time that only grows."""

import time
from datetime import UTC, datetime
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Time, handed in. Rights are compared in microseconds since the Unix epoch."""

    def now_us(self) -> int:
        """Wall time, microseconds since the Unix epoch, UTC. May step."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start. Never steps, also counts while nothing runs."""
        ...


class SystemClock:
    """The host's clocks. The only place where the code asks the machine for the time."""

    @staticmethod
    def now_us() -> int:
        return time.time_ns() // 1_000

    @staticmethod
    def monotonic_s() -> float:
        return time.monotonic()


def to_datetime(at_us: int) -> datetime:
    """The aware UTC time of `at_us` microseconds since the Unix epoch."""
    return datetime.fromtimestamp(at_us // MICROSECONDS, UTC).replace(microsecond=at_us % MICROSECONDS)


def to_us(at: datetime) -> int:
    """Microseconds since the Unix epoch of an aware time.

    Raises:
        ValueError: `at` names no time zone, so it names no moment.
    """
    if at.tzinfo is None:
        raise ValueError(f"`{at.isoformat()}` has no time zone; an aware time is needed")
    whole = int(at.replace(microsecond=0).timestamp())
    return whole * MICROSECONDS + at.microsecond


def rfc3339(at: datetime) -> str:
    """An aware time as all answers write it: in UTC, with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
