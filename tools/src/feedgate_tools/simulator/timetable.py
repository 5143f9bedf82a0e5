"""When each picture of a camera is due."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timetable:
    """Picture 0 is due at `began_s`, and one more each interval; all times are of one monotonic clock."""

    began_s: float
    fps: int

    @property
    def interval_s(self) -> float:
        return 1 / self.fps

    def due_s(self, number: int) -> float:
        return self.began_s + number / self.fps

    def next_after(self, number: int, now_s: float, *, patience_s: float) -> int:
        """Return the picture to make after `number`.

        Args:
            number: the last one made, -1 before the first.
            now_s: now.
            patience_s: how late a picture may still be made; beyond, it and those like it are left out.
        """
        if self.due_s(number + 1) >= now_s - patience_s:
            return number + 1
        return max(number + 1, math.ceil((now_s - self.began_s) * self.fps))

    def ticks(self, at_s: float, clock_hz: int) -> int:
        """Return `at_s` in ticks since picture 0."""
        return math.floor((at_s - self.began_s) * clock_hz)

    def picture_ticks(self, number: int, clock_hz: int) -> int:
        """Return when picture `number` is due in ticks since picture 0, without rounding twice."""
        return number * clock_hz // self.fps
