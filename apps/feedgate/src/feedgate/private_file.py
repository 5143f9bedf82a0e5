"""Files that hold secrets, written whole or not at all."""

import os
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".unfinished"
"""Ends the name of a file that is being written."""


def write(file: Path, content: str | bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put it in the place of what was there, as `staged` and `put_in_place` say."""
    put_in_place(staged(file, content, mode, owner), file)


def staged(file: Path, content: str | bytes, mode: int, owner: tuple[int, int] | None = None) -> Path:
    """Write it whole beside its place; nobody else can read it at any moment, and nothing is left of what failed.

    Args:
        file: where.
        content: what; text as UTF-8.
        mode: its permissions, whatever the umask.
        owner: numbers of the user and the group that it is given to where root writes; None leaves it root's.
    """
    part = file.with_name(f".{file.name}{UNFINISHED}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as output:
            output.write(content.encode() if isinstance(content, str) else content)
            output.flush()
            if owner is not None and os.geteuid() == 0:
                os.fchown(output.fileno(), *owner)
            os.fchmod(output.fileno(), mode)
            os.fsync(output.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def put_in_place(part: Path, file: Path) -> None:
    """Give a staged file its name, durably."""
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
