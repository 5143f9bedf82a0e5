"""One server process: started, stopped, frozen, killed, never left behind."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PAUSE_S = 0.05
"""Between two looks at a server that is starting."""


class ServerFailedError(Exception):
    """A server did not start, or ended by itself; the message ends with its last words."""


class ServerProcess:
    """A command that runs until `end`, `kill` or the death of this process.

    The kernel kills the child when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG), so
    start servers from the main thread.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        ends_on: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self.ends_on = ends_on
        self.prefix: Sequence[str] = ()
        """Of the command from the next start on: what runs it, already as its user."""
        self.gid: int | None = None
        """The group id it runs under from the next start on, where not its user's: by it the network knows it."""
        self._user = user
        self._command = [*map(str, command)]
        self._environment = dict(environment) if environment is not None else None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._log_began = output.tell()
            self._process = subprocess.Popen(
                [*bound_to_parent(self._user, self.gid), *self.prefix, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.log.parent,
            )

    def wait_until(self, ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Return when `ready` says so.

        Raises:
            ServerFailedError: the process ended or time ran out; in the second case it is killed.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise ServerFailedError(f"{self.name} ended while starting:\n{self.last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailedError(f"{self.name} not ready in {timeout_s:.0f} s:\n{self.last_words()}")
            time.sleep(PAUSE_S)

    def wait(self, timeout_s: float) -> int:
        """The exit status, when it ends by itself within the time."""
        if self._process is None:
            raise ServerFailedError(f"{self.name} was not started")
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise ServerFailedError(
                f"{self.name} still ran after {timeout_s:.0f} s:\n{self.last_words()}"
            ) from late

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with no chance to tidy up. Does nothing if it has ended already."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    def end(self, timeout_s: float = 20.0) -> None:
        """Ask it to end, frozen or not; kill it if it will not."""
        if self._process is None or not self.running:
            return
        # Popen sends nothing to a process it has seen end, which may happen between the two.
        self._process.send_signal(self.ends_on)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise ServerFailedError(f"{self.name} is not running:\n{self.last_words()}")
        self._process.send_signal(number)

    def words_since_start(self) -> str:
        """What it wrote since it was started last."""
        return self.log.read_bytes()[self._log_began :].decode(errors="replace")

    def last_words(self, lines: int = 30) -> str:
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def bound_to_parent(user: str | None, gid: int | None = None) -> list[str]:
    """The prefix that ends a command with this process and, if named, runs it as another user or group id.

    Two steps where credentials change: that clears the death signal.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    change = []
    if user is not None:
        change = [setpriv, "--reuid", user, "--regid", str(gid or user), "--init-groups"]
    elif gid is not None:
        change = [setpriv, "--regid", str(gid), "--clear-groups"]
    return [*change, setpriv, "--pdeathsig", "KILL"]
