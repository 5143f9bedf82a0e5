"""What a process used, as the kernel counts it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
