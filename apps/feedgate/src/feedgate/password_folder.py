"""A folder of passwords, one file for each user and named like them, that only its owner can read."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from feedgate_kit.errors import FeedgateError

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
RANDOM_BYTES: Final = 32


class PasswordFolderError(FeedgateError):
    """A password cannot be read or kept."""


class PasswordFolder:
    """The passwords of Kafka's users. No error and no representation holds one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Make the folder if there is none.

        Raises:
            PasswordFolderError: it cannot be made.
        """
        try:
            self.path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise PasswordFolderError(f"`{self.path}` cannot hold passwords: {error.strerror}") from None

    def read(self, user: str) -> str | None:
        """The user's password; None where there is no file.

        Raises:
            PasswordFolderError: there is one that says nothing or cannot be read.
        """
        file = self.path / user
        try:
            password = file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise PasswordFolderError(f"`{file}` cannot be read: {type(error).__name__}") from None
        if not password:
            raise PasswordFolderError(f"`{file}` is empty; allowed: a password")
        return password

    def make(self, user: str) -> str:
        """A new password, in a new file.

        Raises:
            PasswordFolderError: it cannot be written, or somebody has written one meanwhile.
        """
        password = secrets.token_urlsafe(RANDOM_BYTES)
        file = self.path / user
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "w") as opened:
                opened.write(password + "\n")
        except OSError as error:
            raise PasswordFolderError(f"`{file}` cannot be written: {error.strerror}") from None
        return password

    def remove(self, users: Iterable[str]) -> None:
        """Delete the files of these users, where there are any."""
        for user in users:
            (self.path / user).unlink(missing_ok=True)
