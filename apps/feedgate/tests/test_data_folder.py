"""The folder of one box: private, one process at a time, never half-written."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from feedgate.data_folder import (
    DataFolder,
    DataFolderError,
    default_data_folder,
    open_data_folder,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_folder_and_keys_are_their_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    with umask(0), open_data_folder(tmp_path / "a" / "data") as data:
        data.secret("owner-hash")
        data.signing_key("ticket")
        data.write("pools.yaml", b"[]")
        assert [mode(data.path), mode(data.keys)] == [0o700, 0o700]
        assert {path.name: mode(path) for path in data.path.rglob("*") if path.is_file()} == {
            "lock": 0o600,
            "owner-hash.secret": 0o600,
            "ticket.pem": 0o600,
            "pools.yaml": 0o600,
        }


def sqlite_files(data: DataFolder) -> dict[str, int]:
    return {path.name: mode(path) for path in data.path.glob("*.sqlite*")}


def test_databases_and_what_sqlite_puts_beside_them_are_their_users_alone(tmp_path: Path) -> None:
    with umask(0), open_data_folder(tmp_path / "data") as data:
        data.make_databases(["registry", "audit"])
        for name, journal_mode in (("registry", "WAL"), ("audit", "DELETE")):
            connection = sqlite3.connect(data.database_file(name), isolation_level=None)
            with closing(connection):
                connection.execute(f"PRAGMA journal_mode = {journal_mode}")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("CREATE TABLE camera (id)")
                if name == "registry":
                    connection.execute("COMMIT")
                    beside = {"registry.sqlite-wal": 0o600, "registry.sqlite-shm": 0o600}
                else:
                    beside = {"audit.sqlite-journal": 0o600}
                databases = {"registry.sqlite": 0o600, "audit.sqlite": 0o600, "bus.sqlite": 0o600}
                assert sqlite_files(data) == databases | beside


def test_databases_of_an_earlier_version_are_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with open_data_folder(path) as data:
        data.secret("owner-hash")
        for name in ("registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm"):
            (path / name).touch()
            (path / name).chmod(0o644)
        (path / "bus.sqlite").write_bytes(b"kept")
    with open_data_folder(path) as data:
        assert set(sqlite_files(data).values()) == {0o600}
        data.make_databases(["registry"])
        assert data.bus_file.read_bytes() == b"kept"


def test_a_folder_open_to_others_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    says = "has mode 0750, open to others; allowed: 0700"
    with pytest.raises(DataFolderError, match=says), open_data_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(DataFolderError, match="belongs to user"), open_data_folder(tmp_path):
        pass


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    says = "cannot be used as the data folder"
    with pytest.raises(DataFolderError, match=says), open_data_folder(tmp_path / "file"):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "data"
    says = "is in use by another `feedgate up`"
    # A lock belongs to the open file, so a second opening is refused as another process's is.
    with (
        open_data_folder(path),
        pytest.raises(DataFolderError, match=says),
        open_data_folder(path),
    ):
        pass
    with open_data_folder(path):
        pass


def test_keys_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with open_data_folder(path) as data:
        first = (data.secret("owner-hash"), data.signing_key("ticket").private_bytes_raw())
        assert data.secret("operator-pseudonym") != first[0]
        assert len(bytes.fromhex(first[0])) == 32
    with open_data_folder(path) as data:
        assert (data.secret("owner-hash"), data.signing_key("ticket").private_bytes_raw()) == first
        assert data.key_bytes("pool", lambda: b"one") == b"one"
        assert data.key_bytes("pool", lambda: b"another") == b"one"


def test_a_process_killed_while_it_writes_leaves_no_half_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"

    def killed(_: int) -> None:
        raise KilledError

    with open_data_folder(path) as data:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", killed)
            patched.setattr(Path, "unlink", lambda *_, **__: None)  # who is killed tidies up nothing
            with pytest.raises(KilledError):
                data.secret("owner-hash")
        assert [file.suffix for file in data.keys.iterdir()] == [".unfinished"]
    with open_data_folder(path) as data:
        assert list(data.keys.iterdir()) == []
        assert len(data.secret("owner-hash")) == 64


class KilledError(Exception):
    pass


def test_databases_whose_keys_are_gone_are_not_given_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with open_data_folder(path) as data:
        secret = data.keys / "owner-hash.secret"
        data.secret("owner-hash")
        data.database_file("registry").touch()
    with open_data_folder(path):
        pass
    secret.unlink()
    with pytest.raises(DataFolderError, match="has databases but no `keys`"), open_data_folder(path):
        pass


def test_a_key_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    with open_data_folder(tmp_path / "data") as data:
        data.key_bytes("ticket.pem", lambda: b"no key")
        with pytest.raises(DataFolderError, match=r"ticket\.pem` holds no key"):
            data.signing_key("ticket")


def test_a_database_is_the_same_file_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_data_folder(Path("data")) as data:
        assert data.database_url("registry") == f"sqlite+aiosqlite:///{tmp_path}/data/registry.sqlite"


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        pytest.param({}, "linux", "home/.local/share/feedgate", id="nothing said"),
        pytest.param({"XDG_DATA_HOME": "/data"}, "linux", "/data/feedgate", id="XDG_DATA_HOME"),
        pytest.param(
            {"XDG_DATA_HOME": "data"}, "linux", "home/.local/share/feedgate", id="relative: ignored"
        ),
        pytest.param({"XDG_DATA_HOME": ""}, "linux", "home/.local/share/feedgate", id="empty: ignored"),
        pytest.param({}, "darwin", "home/Library/Application Support/feedgate", id="macOS"),
    ],
)
def test_the_default_is_in_the_users_data_folder(
    environment: dict[str, str], platform: str, expected: str
) -> None:
    assert default_data_folder(environment, platform, Path("home")) == Path(expected)


def test_naming_a_folder_makes_nothing(tmp_path: Path) -> None:
    assert not DataFolder(tmp_path / "data").path.exists()
