"""Everything one box keeps: a folder only its user can read, and one process at a time.

Keys are made at the first start and never again; losing the folder is losing
the cameras' sealed sources with it.
"""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_kit.errors import FeedgateError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
SECRET_BYTES = 32


class DataFolderError(FeedgateError):
    """The folder cannot be used; nothing in it was changed."""


class DataFolder:
    """One box's files."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it is made by `open_data_folder`."""
        self.path = path

    def database_url(self, service: str) -> str:
        """The SQLite database of one service."""
        return f"sqlite+aiosqlite:///{self.path / service}.sqlite"

    @property
    def bus_file(self) -> Path:
        return self.path / "bus.sqlite"

    def secret(self, name: str) -> str:
        """32 random bytes in hex, the same at every start."""
        return self._kept(f"{name}.secret", lambda: secrets.token_hex(SECRET_BYTES).encode()).decode()

    def signing_key(self, name: str) -> Ed25519PrivateKey:
        """An Ed25519 key, the same at every start."""
        key = serialization.load_pem_private_key(self._kept(f"{name}.pem", _new_signing_key), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise DataFolderError(f"`keys/{name}.pem` holds another kind of key; an Ed25519 key is needed")
        return key

    def key_bytes(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Any other key, made by `make` at the first start."""
        return self._kept(name, make)

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is made anew at every start."""
        _write_whole(self.path / name, content)

    def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        path = self.path / "keys" / name
        if not path.exists():
            _write_whole(path, make())
        return path.read_bytes()


@contextmanager
def open_data_folder(path: Path) -> Iterator[DataFolder]:
    """Make the folder if need be, and keep every other process out of it meanwhile.

    Raises:
        DataFolderError: another process has it, others may read it, or it cannot be written.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        (path / "keys").mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise DataFolderError(f"`{path}` cannot be used as the data folder: {error.strerror}") from error
    try:
        others = path.stat().st_mode & 0o077
        if others:
            raise DataFolderError(
                f"`{path}` has mode {path.stat().st_mode & 0o777:04o}, open to others; allowed: 0700"
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderError(f"`{path}` is in use by another `feedgate up`") from error
        yield DataFolder(path)
    finally:
        os.close(lock)


def _new_signing_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_whole(path: Path, content: bytes) -> None:
    """Write the file whole or not at all: a process that ends between leaves no half a key."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
