"""The processes of one target, found by the group id (gid) that only this target runs under: a server may be many."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processes_of(gid: int) -> Iterator[int]:
    """The ids of those that run under a group id."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _gid(process) == gid:
            yield int(process.name)


def signal_all(gid: int, number: signal.Signals) -> None:
    for pid in processes_of(gid):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, number)


def memory_mib(gid: int) -> float:
    """What they hold together; memory that several share is counted once (proc(5), `Pss`)."""
    return sum(_pss_kib(Path(f"/proc/{pid}/smaps_rollup")) for pid in processes_of(gid)) / 1024


def _gid(process: Path) -> int | None:
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
