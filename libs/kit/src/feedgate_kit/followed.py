"""What is read from files, and read again once they have changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from feedgate_kit.errors import FeedgateError

T = TypeVar("T")
Stamp = tuple[int, int, int]

logger = structlog.get_logger(__name__)


class Followed(Generic[T]):
    """The files are looked at whenever their content is asked for, which is cheap; nothing runs meanwhile."""

    def __init__(self, read: Callable[[], T], files: Sequence[Path]) -> None:
        """Read them for the first time.

        Args:
            read: makes of the files what they are for; raises `FeedgateError` or `OSError` where they cannot be used.
            files: those that it reads.
        """
        self._read = read
        self._files = tuple(files)
        self._seen = self._stamps()
        self._content = read()

    def current(self) -> T:
        """As the files are now. Files that cannot be used, half replaced perhaps, leave it as it was."""
        seen = self._stamps()
        if seen != self._seen:
            self._seen = seen
            self._content = self._read_again()
        return self._content

    def _read_again(self) -> T:
        names = [str(file) for file in self._files]
        try:
            content = self._read()
        except (FeedgateError, OSError) as error:
            logger.error("changed files cannot be used", files=names, cause=str(error))  # noqa: TRY400 - expected
            return self._content
        logger.info("changed files read", files=names)
        return content

    def _stamps(self) -> list[Stamp | None]:
        return [_stamp_of(file) for file in self._files]


def _stamp_of(file: Path) -> Stamp | None:
    """What tells one content, or one right to read it, from the next; another file in its place is another inode."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_ctime_ns, seen.st_size
