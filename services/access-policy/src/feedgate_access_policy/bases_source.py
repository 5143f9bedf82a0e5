"""Holds the packs' rows of legal bases to the table they were taken from.

    python -m feedgate_access_policy.bases_source legal-bases.jsonl          # write the rows
    python -m feedgate_access_policy.bases_source --check legal-bases.jsonl  # compare only

Every pack but the root has, byte for byte and in order, the table's rows of its
own jurisdiction. The table itself lies outside this repository.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from feedgate_access_policy.pack import BASES, MANIFEST, ROOT

PACKS = Path(__file__).parent / "packs"


def rows_of(table: str, jurisdiction: str) -> str:
    """The table's lines for one jurisdiction, as they stand there."""
    lines = (line for line in table.splitlines() if line.strip())
    return "".join(f"{line}\n" for line in lines if json.loads(line)["jurisdiction"] == jurisdiction)


def differing(table: str, packs: Path) -> Sequence[str]:
    """The packs whose rows are not the table's."""
    return [
        folder.name
        for folder in _folders(packs)
        if not (folder / BASES).exists()
        or (folder / BASES).read_text(encoding="utf-8") != rows_of(table, folder.name)
    ]


def write(table: str, packs: Path) -> None:
    """Make the rows of every pack anew."""
    for folder in _folders(packs):
        (folder / BASES).write_text(rows_of(table, folder.name), encoding="utf-8")


def _folders(packs: Path) -> Sequence[Path]:
    return sorted(
        folder for folder in packs.iterdir() if (folder / MANIFEST).exists() and folder.name != ROOT
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 if the rows differ."""
    check = "--check" in arguments
    sources = [argument for argument in arguments if argument != "--check"]
    if len(sources) != 1:
        sys.stderr.write("usage: python -m feedgate_access_policy.bases_source [--check] FILE\n")
        return 2
    table = Path(sources[0]).read_text(encoding="utf-8")
    if not check:
        write(table, PACKS)
    different = differing(table, PACKS)
    for name in different:
        sys.stderr.write(f"packs/{name}/{BASES} differs from {sources[0]}\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
