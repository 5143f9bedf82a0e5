"""Namespaces of a run's own, so that whatever it cuts, fills or leaves behind is gone with it.

Its network is a loopback that nobody else is on, its mounts nobody else sees, and the kernel kills every
process of it when this one ends, however it ends.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final, NoReturn

MARK: Final = "FEEDGATE_FAULTS_ISOLATED"
UNSHARE: Final = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
SCRATCH: Final = "/dev/shm"
"""Where libfaketime writes, too: it leaves a file for each process that was killed."""


def isolated() -> bool:
    """Whether this process is in namespaces of its own."""
    return MARK in os.environ


def become_isolated(arguments: Sequence[str]) -> NoReturn:
    """Be replaced by the same program in namespaces of its own."""
    os.environ[MARK] = "yes"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-m", "tests.faults", *arguments])


def furnish() -> None:
    """What a new namespace lacks: a loopback that is up, and a place for files that goes with it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "faults", SCRATCH], check=True)
    os.environ["TMPDIR"] = tempfile.tempdir = SCRATCH
