"""Ports that nobody else will be given."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

LOWEST = 20_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LEASES: Final[dict[int, int]] = {}
"""Port to the descriptor whose lock keeps it for this process, released by the kernel when it ends."""


def free_port() -> int:
    """A loopback port for a server that must be told one before it starts.

    It lies below the range the kernel hands to outgoing connections and is leased by a file lock, so
    neither a stranger's connection nor a test run beside this one takes it before the server binds.
    The lease lasts as long as this process: a server may be stopped and started on the same port.
    """
    folder = Path(tempfile.gettempdir(), f"feedgate-ports-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    candidates = list(range(LOWEST, first_ephemeral()))
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        if port not in LEASES and lease(folder, port):
            return port
    raise RuntimeError(f"no free port between {LOWEST} and {first_ephemeral()}")


def first_ephemeral() -> int:
    try:
        return int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except OSError:
        return 32_768


def lease(folder: Path, port: int) -> bool:
    descriptor = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(descriptor)
        return False
    LEASES[port] = descriptor
    return True
