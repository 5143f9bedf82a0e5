"""`python -m tests.hygiene`: exit 1 and name every line that must not be committed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tests.hygiene.findings import findings

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    found = list(findings(ROOT, committable(ROOT)))
    for finding in found:
        print(finding)  # noqa: T201
    sys.exit(bool(found))


def committable(root: Path) -> Iterator[PurePosixPath]:
    """What is committed already or would be by `git add --all`; all but dot folders without git."""
    if not (root / ".git").exists():
        yield from walked(root)
        return
    # A build machine may check the tree out as another user than it runs as.
    asked = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    asked += ["--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in listed.split("\0"):
        if name and (root / name).is_file():
            yield PurePosixPath(name)


def walked(root: Path) -> Iterator[PurePosixPath]:
    for path in sorted(root.rglob("*")):
        relative = PurePosixPath(path.relative_to(root))
        dot_folder = any(part.startswith(".") and part != ".ci" for part in relative.parts[:-1])
        if path.is_file() and not dot_folder and "__pycache__" not in relative.parts:
            yield relative


if __name__ == "__main__":
    main()
