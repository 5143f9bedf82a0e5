"""A clock that stands still until it is moved, for tests and simulations."""

from feedgate_kit.clock import MICROSECONDS


class SteppedClock:
    """Both times of `Clock`; each moves only when told."""

    def __init__(self, now_us: int = 1_800_000_000 * MICROSECONDS, monotonic_s: float = 1_000.0) -> None:
        self._now_us = now_us
        self._monotonic_s = monotonic_s

    def now_us(self) -> int:
        return self._now_us

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass: both move."""
        self._now_us += round(seconds * MICROSECONDS)
        self._monotonic_s += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._now_us += round(seconds * MICROSECONDS)
