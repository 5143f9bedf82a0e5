"""What the figures were measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Machine:
    """One host as far as it matters to a figure; no name and no address."""

    cores: int
    processor: str
    memory_gib: float
    kernel: str
    python: str

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:.1f} GiB, "
            f"Linux {self.kernel}, Python {self.python}"
        )


def this_machine() -> Machine:
    processor = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory_kib = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor,
        memory_gib=memory_kib / 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
    )


def commit() -> str:
    """The commit measured, with `+` where files differ from it; `unknown` outside a checkout."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def load_before() -> float:
    """Processes that wanted to run during the last minute: what else the machine was doing."""
    return round(os.getloadavg()[0], 2)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
