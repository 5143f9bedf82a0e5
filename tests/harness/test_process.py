"""A server lives no longer than the test run that started it, however that run ends."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.machine import REPOSITORY
from tests.servers.process import ServerFailedError, ServerProcess

STARTS_A_SERVER = """
import sys
from pathlib import Path
from tests.servers.process import ServerProcess
log = Path(sys.argv[1])
server = ServerProcess("sleeper", ["sh", "-c", "echo up; exec sleep 3600"], log)
server.start()
server.wait_until(lambda: "up" in log.read_text())
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_dies_with_the_run_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_A_SERVER, str(tmp_path / "log")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    ) as run:
        assert run.stdout is not None
        server = os.pidfd_open(int(run.stdout.readline()))
        try:
            assert not ended(server, within_s=0)
            run.kill()
            assert ended(server, within_s=10)
        finally:
            if not ended(server, within_s=0):
                signal.pidfd_send_signal(server, signal.SIGKILL)
            os.close(server)


def test_a_frozen_server_can_be_ended(tmp_path: Path) -> None:
    server = ServerProcess("sleeper", ["sleep", "3600"], tmp_path / "log")
    server.start()
    server.freeze()
    server.end()
    assert not server.running


def test_a_server_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    server = ServerProcess("liar", ["sh", "-c", "echo port taken; exit 3"], tmp_path / "log")
    server.start()
    with pytest.raises(ServerFailedError, match="port taken"):
        server.wait_until(lambda: False, timeout_s=10)


def test_a_server_that_is_never_ready_is_not_left_behind(tmp_path: Path) -> None:
    server = ServerProcess("sleeper", ["sleep", "3600"], tmp_path / "log")
    server.start()
    with pytest.raises(ServerFailedError, match="not ready"):
        server.wait_until(lambda: False, timeout_s=0.1)
    assert not server.running


def ended(pidfd: int, within_s: float) -> bool:
    """Whether the process ended: its descriptor becomes readable then (pidfd_open(2))."""
    readable, _, _ = select.select([pidfd], [], [], within_s)
    return bool(readable)
