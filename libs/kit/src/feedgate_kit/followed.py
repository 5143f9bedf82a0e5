"""What is read from files, and read again once they have changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from feedgate_kit.errors import FeedgateError

T = TypeVar("T")
Look = tuple[tuple[int, int, int] | None, ...]

logger = structlog.get_logger(__name__)


class Followed(Generic[T]):
    """The files are looked at whenever their content is asked for, which is cheap; nothing runs meanwhile."""

    def __init__(self, read: Callable[[], T], files: Sequence[Path]) -> None:
        """Read them for the first time.

        Args:
            read: makes of the files what they are for; raises `FeedgateError` or `OSError` where they are of no use.
            files: those that it reads.
        """
        self._read = read
        self._files = tuple(files)
        self._seen = self._look()
        self._content = read()

    def current(self) -> T:
        """As the files are now. Files that are of no use, half replaced perhaps, leave it as it was."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._content = self._read_again()
        return self._content

    def _read_again(self) -> T:
        names = [str(file) for file in self._files]
        try:
            content = self._read()
        except (FeedgateError, OSError) as error:
            logger.error("changed files are of no use", files=names, cause=str(error))  # noqa: TRY400 - expected
            return self._content
        logger.info("changed files read", files=names)
        return content

    def _look(self) -> Look:
        return tuple(_look(file) for file in self._files)


def _look(file: Path) -> tuple[int, int, int] | None:
    """What tells one content from the next: a file that was put in its place is another inode."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size
