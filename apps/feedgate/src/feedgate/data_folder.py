"""Everything one box keeps: a folder only its user can read, and one process at a time.

Keys are made at the first start, before there is anything they protect, and
never again: without them the cameras' sealed sources cannot be opened.
"""

import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate.private_file import UNFINISHED, write
from feedgate.signing_key import new_signing_key
from feedgate_kit.errors import ONE_BOX_PAGE, OperatorError

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OPEN_TO_OTHERS: Final = 0o077
SECRET_BYTES: Final = 32


class DataFolderError(OperatorError):
    """The folder cannot be used; nothing in it was changed."""

    page = ONE_BOX_PAGE


class DataFolder:
    """One box's files."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it is made by `open_data_folder`."""
        self.path = path

    def database_file(self, service: str) -> Path:
        return self.path / f"{service}.sqlite"

    def database_url(self, service: str) -> str:
        """The SQLite database of one service."""
        return f"sqlite+aiosqlite:///{self.database_file(service)}"

    @property
    def bus_file(self) -> Path:
        return self.path / "bus.sqlite"

    def make_databases(self, services: Iterable[str]) -> None:
        """Make the files of these databases and of the bus where there are none, for their user alone.

        SQLite would make them as the umask has it. The files it puts beside a database take
        the database's own mode (os_unix.c, `findCreateFileMode`).

        Raises:
            DataFolderError: one cannot be made.
        """
        for file in (*map(self.database_file, services), self.bus_file):
            try:
                file.touch(PRIVATE_FILE)
            except OSError as error:
                raise DataFolderError(f"`{file}` cannot be used: {error.strerror}") from error

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    def secret(self, name: str) -> str:
        """32 random bytes in hex, the same at every start."""
        return self.key_bytes(f"{name}.secret", lambda: secrets.token_hex(SECRET_BYTES).encode()).decode()

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """An Ed25519 key, the same at every start."""
        kept = self.key_bytes(f"{name}.pem", lambda: new_signing_key().encode())
        try:
            key = serialization.load_pem_private_key(kept, password=None)
        except ValueError as error:
            raise DataFolderError(f"`{self.keys / name}.pem` holds no key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise DataFolderError(f"`{self.keys / name}.pem` holds another kind of key; allowed: Ed25519")
        return key

    def key_bytes(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Any other key, made by `make` at the first start.

        Raises:
            DataFolderError: it cannot be read or written.
        """
        path = self.keys / name
        try:
            if not path.exists():
                write(path, make(), PRIVATE_FILE)
            return path.read_bytes()
        except OSError as error:
            raise DataFolderError(f"`{path}` cannot be used: {error.strerror}") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is made anew at every start."""
        write(self.path / name, content, PRIVATE_FILE)


@contextmanager
def open_data_folder(path: Path) -> Iterator[DataFolder]:
    """Make the folder if need be, and keep every other process out of it meanwhile.

    Raises:
        DataFolderError: another process has it, others may read it, its keys are gone, or it
            cannot be written.
    """
    # Absolute, so that a database's URL means the same file wherever the process goes.
    path = path.absolute()
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        _refuse_shared(path)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise DataFolderError(f"`{path}` cannot be used as the data folder: {error.strerror}") from error
    try:
        _lock(lock, path)
        data = DataFolder(path)
        data.keys.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        for folder in (path, data.keys):
            for unfinished in folder.glob(f".*{UNFINISHED}"):
                unfinished.unlink()  # a killed process left it
        _refuse_lost_keys(data)
        _close_to_others(data)
        yield data
    finally:
        os.close(lock)


def default_data_folder(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform, home: Path | None = None
) -> Path:
    """`feedgate` in the user's data folder: XDG Base Directory Specification, or macOS's own place."""
    home = home or Path.home()
    if platform == "darwin":
        return home / "Library" / "Application Support" / "feedgate"
    named = Path(environment.get("XDG_DATA_HOME", ""))
    # "All paths set in these environment variables must be absolute"; a relative one is to be ignored.
    return (named if named.is_absolute() else home / ".local" / "share") / "feedgate"


def _refuse_shared(path: Path) -> None:
    seen = path.stat()
    if seen.st_uid != os.geteuid():
        raise DataFolderError(
            f"`{path}` belongs to user {seen.st_uid}; allowed: {os.geteuid()}, who runs this"
        )
    if seen.st_mode & OPEN_TO_OTHERS:
        mode = stat.S_IMODE(seen.st_mode)
        raise DataFolderError(f"`{path}` has mode {mode:04o}, open to others; allowed: {PRIVATE_FOLDER:04o}")


def _lock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataFolderError(f"`{path}` is in use by another `feedgate up`") from None
    except OSError as error:
        raise DataFolderError(f"`{path}` is where files cannot be locked: {error.strerror}") from error


def _refuse_lost_keys(data: DataFolder) -> None:
    """New keys beside old databases would open nothing, and nobody would be told."""
    if any(data.path.glob("*.sqlite")) and not any(data.keys.iterdir()):
        raise DataFolderError(
            f"`{data.path}` has databases but no `keys`; put back the ones they were saved with"
        )


def _close_to_others(data: DataFolder) -> None:
    """An earlier version, or whoever put a backup here, may have made databases that others can read."""
    for file in data.path.glob("*.sqlite*"):
        try:
            if file.stat().st_mode & OPEN_TO_OTHERS:
                file.chmod(PRIVATE_FILE)
        except OSError as error:
            raise DataFolderError(
                f"`{file}` is open to others and cannot be closed to them: {error.strerror}"
            ) from error
