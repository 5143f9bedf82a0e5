"""Files that hold secrets, written whole or not at all."""

import os
from pathlib import Path


def write(file: Path, text: str, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put it in the place of what was there, as `staged` says."""
    staged(file, text, mode, owner).replace(file)


def staged(file: Path, text: str, mode: int, owner: tuple[int, int] | None = None) -> Path:
    """Write it whole beside its place, which it has only to be moved to; nobody else can read it at any moment.

    Args:
        file: where.
        text: what.
        mode: its permissions.
        owner: numbers of the user and the group that it is given to where root writes; None leaves it root's.
    """
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8"
    ) as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    if owner is not None and os.geteuid() == 0:
        os.chown(part, *owner)
    return part
