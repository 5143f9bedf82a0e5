"""The processes of one target, which the kernel knows by their group: a server may be many."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processes_of(group: int) -> Iterator[int]:
    """The ids of those that run under a group."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _group(process) == group:
            yield int(process.name)


def signal_all(group: int, number: signal.Signals) -> None:
    for pid in processes_of(group):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)


def memory_mib(group: int) -> float:
    """What they hold together; memory that several share is counted once (proc(5), `Pss`)."""
    return sum(_pss_kib(Path(f"/proc/{pid}/smaps_rollup")) for pid in processes_of(group)) / 1024


def _group(process: Path) -> int | None:
    try:
        status = (process / "status").read_text(encoding="utf-8")
    except OSError:  # it has just ended
        return None
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Gid:"))


def _pss_kib(rollup: Path) -> int:
    try:
        lines = rollup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
