"""`python -m tests.breakages [NAME…]`: break rules one by one in a copy; a test must notice each."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.breakages.breakage import Breakage, BreakageError, load_catalogue
from tests.breakages.workshop import Workshop

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = Path(__file__).with_name("catalogue.toml")


def main() -> None:
    breakages = load_catalogue(CATALOGUE)
    names = sys.argv[1:]
    unknown = set(names) - {breakage.name for breakage in breakages}
    if unknown:
        sys.exit(f"no such breakage: {', '.join(sorted(unknown))}")
    chosen = [breakage for breakage in breakages if not names or breakage.name in names]
    with tempfile.TemporaryDirectory(prefix="feedgate-breakages-") as folder:
        sys.exit(report(Workshop(ROOT, Path(folder)), chosen))


def report(workshop: Workshop, breakages: Sequence[Breakage]) -> int:
    """Print who noticed what; 1 if anything went unnoticed or could not be tried."""
    tests = sorted({test for breakage in breakages for test in breakage.noticed_by})
    whole = workshop.run(tests, stop_at_first=False)
    if whole.status:
        say(f"{whole.output}\nwith nothing broken, the tests named must pass first")
        return 1
    width = max(len(breakage.name) for breakage in breakages)
    unnoticed = 0
    for breakage in breakages:
        try:
            say(f"{breakage.name:<{width}}  {workshop.noticed(breakage)}")
        except BreakageError as error:
            unnoticed += 1
            say(f"{breakage.name:<{width}}  UNNOTICED: {error}")
    say(f"{len(breakages) - unnoticed} of {len(breakages)} breakages were noticed")
    return 1 if unnoticed else 0


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
