"""A copy of the tree in which rules may be broken."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.breakages.breakage import Breakage, BreakageError
from tests.servers.machine import SERVERS

LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "build", "dist", "*.sqlite")
RUN_LIMIT_S = 300
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What some tests said."""

    status: int
    failed: tuple[str, ...]
    output: str


class Workshop:
    """Copies the packages, breaks one line at a time, and asks the tests of the copy."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = folder / "tree"
        shutil.copytree(root, self.root, ignore=LEFT_BEHIND)
        sources = [str(path.parent.parent) for path in self.root.glob("**/src/*/__init__.py")]
        self._environment = {
            **os.environ,
            # Ahead of the editable installs, which point at the tree that was copied.
            "PYTHONPATH": os.pathsep.join([*dict.fromkeys(sources), str(self.root)]),
            # Two edits of one size in one second would leave stale bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
            "FEEDGATE_SERVERS": str(SERVERS),
        }

    def run(self, tests: Sequence[str], *, stop_at_first: bool = True) -> Run:
        """Run some tests of the copy.

        Raises:
            BreakageError: they did not come to an end.
        """
        command = [
            *(sys.executable, "-m", "pytest", "--quiet", "-rfE", "--tb=short", "-p", "no:cacheprovider"),
            *("--hypothesis-seed=0", "--color=no", *(("-x",) if stop_at_first else ()), *tests),
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=RUN_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise BreakageError(f"the tests still ran after {RUN_LIMIT_S} s") from late
        output = done.stdout + done.stderr
        return Run(done.returncode, tuple(FAILED.findall(done.stdout)), output)

    def check_that_the_copy_is_imported(self, breakage: Breakage) -> None:
        """Ask a fresh interpreter where the file's package comes from.

        Raises:
            BreakageError: from somewhere else than the copy, so the breakage would change nothing.
        """
        parts = Path(breakage.file).parts
        if "src" not in parts:
            return
        package = parts[parts.index("src") + 1].removesuffix(".py")
        asked = f"import importlib.util as u; print(u.find_spec({package!r}).origin)"
        done = subprocess.run(
            [sys.executable, "-c", asked],
            cwd=self.root,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not Path(done.stdout.strip() or "/").is_relative_to(self.root):
            raise BreakageError(f"`{package}` is imported from {done.stdout.strip()}, not from the copy")

    @contextmanager
    def broken(self, breakage: Breakage) -> Iterator[None]:
        """The copy with one rule broken, mended afterwards."""
        path = self.root / breakage.file
        if not path.is_file():
            raise BreakageError(f"no {breakage.file}")
        whole = path.read_text(encoding="utf-8")
        path.write_text(breakage.applied_to(whole), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(whole, encoding="utf-8")

    def noticed(self, breakage: Breakage) -> str:
        """The test that failed because of it.

        Raises:
            BreakageError: none failed, or the code no longer ran at all, which any test would notice.
        """
        self.check_that_the_copy_is_imported(breakage)
        with self.broken(breakage):
            run = self.run(breakage.noticed_by)
        if run.status == pytest.ExitCode.OK:
            raise BreakageError("no test noticed")
        if run.status != pytest.ExitCode.TESTS_FAILED or not run.failed:
            raise BreakageError(f"the tests did not run (status {run.status}):\n{run.output}")
        return run.failed[0]
