"""What a process used, as the kernel counts it."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

PARTS: Final = 5
"""A measured time is cut into so many, for the spread."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment."""

    at_s: float  # monotonic
    cpu_s: float  # user and system, all threads, since its start

    @classmethod
    def of(cls, pid: int) -> Self:
        return cls(time.monotonic(), cpu_seconds(Path(f"/proc/{pid}/stat").read_text(encoding="ascii")))

    def percent_since(self, earlier: "Reading") -> float:
        """Percent of one core used since then."""
        return 100 * (self.cpu_s - earlier.cpu_s) / (self.at_s - earlier.at_s)


def cpu_seconds(stat: str) -> float:
    """`utime` and `stime` of a `/proc/PID/stat` line (proc(5)); its second field may hold spaces."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def rss_mib(pid: int) -> float:
    """What lies in memory of a process now."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def family_of(pid: int) -> list[int]:
    """A process and all that it, and they, have started and that still run."""
    family, unasked = [pid], [pid]
    while unasked:
        for children in Path(f"/proc/{unasked.pop()}/task").glob("*/children"):
            found = [int(child) for child in children.read_text(encoding="ascii").split()]
            family += found
            unasked += found
    return family


@dataclass(frozen=True, slots=True)
class Used:
    """CPU of some processes together, percent of one core."""

    percent: float
    parts: list[float]
    """The same in each part of the time."""
    began_ns: int  # monotonic
    ended_ns: int

    def spread_over(self, count: int) -> "Used":
        """The same, divided by what it was used for."""
        return Used(self.percent / count, [part / count for part in self.parts], self.began_ns, self.ended_ns)


async def used_by(pids: Sequence[int], seconds: float) -> Used:
    """What the processes use during the next seconds."""
    began_ns = time.monotonic_ns()
    readings = [[Reading.of(pid) for pid in pids]]
    for part in range(1, PARTS + 1):
        await asyncio.sleep(began_ns / 1e9 + part * seconds / PARTS - time.monotonic())
        readings.append([Reading.of(pid) for pid in pids])
    return Used(
        _percent(readings[0], readings[-1]),
        [_percent(earlier, later) for earlier, later in pairwise(readings)],
        began_ns,
        time.monotonic_ns(),
    )


def _percent(earlier: list[Reading], later: list[Reading]) -> float:
    return sum(now.percent_since(then) for then, now in zip(earlier, later, strict=True))
