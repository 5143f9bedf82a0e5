"""Namespaces of a run's own, so that whatever it cuts, fills or leaves behind is gone with it.

Its network is a loopback that nobody else is on, its mounts nobody else sees, and the kernel kills every
process of it when this one ends, however it ends.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

MARK: Final = "FEEDGATE_FAULTS_ISOLATED"


def isolated() -> bool:
    """Whether this process is in namespaces of its own."""
    return MARK in os.environ


def become_isolated(arguments: Sequence[str]) -> NoReturn:
    """Be replaced by the same program in namespaces of its own."""
    unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    os.environ[MARK] = "yes"
    os.execvp(unshare[0], [*unshare, sys.executable, "-m", "tests.faults", *arguments])


def furnish() -> None:
    """What a new namespace lacks."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # libfaketime leaves a file there for each process that was killed.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "faults", "/dev/shm"], check=True)
