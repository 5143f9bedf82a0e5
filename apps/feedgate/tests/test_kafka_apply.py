"""Who applies topics and rights, and where passwords are kept: what is refused, in one line."""

import asyncio
import stat
from pathlib import Path

import pytest

from feedgate.kafka_access import LOGINS_AT_ONCE, KafkaAccess
from feedgate.kafka_apply import PASSWORD_VARIABLE, administrator, apply_all
from feedgate.password_folder import PasswordFolder, PasswordFolderError
from feedgate_kit.bus.kafka_settings import OPEN, KafkaSecurity, KafkaSecurityError

LOCAL = "127.0.0.1:9092"


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


def test_without_a_user_kafka_asks_nobody() -> None:
    assert administrator("kafka.example:9092", None, None, None) == OPEN


def test_the_password_is_in_the_variable_or_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n", encoding="utf-8")
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the variable")
    who = administrator(LOCAL, None, "admin", None)
    assert who == KafkaSecurity(username="admin", password="from the variable")
    who = administrator(LOCAL, None, "admin", file)
    assert who == KafkaSecurity(username="admin", password="from a file")
    assert "from a file" not in repr(who)


def test_half_an_administrator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaSecurityError, match=f"--password-file or {PASSWORD_VARIABLE} is missing"):
        administrator(LOCAL, None, "admin", None)
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    with pytest.raises(KafkaSecurityError, match="--username is missing"):
        administrator(LOCAL, None, None, None)


def test_the_password_crosses_no_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    with pytest.raises(KafkaSecurityError, match=r"host `kafka.example` without TLS; allowed: --ca-file"):
        administrator("kafka.example:9092", None, "admin", None)


def test_files_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(KafkaSecurityError, match=r"--password-file: `.*none` cannot be read"):
        administrator(LOCAL, None, "admin", tmp_path / "none")
    monkeypatch.setenv(PASSWORD_VARIABLE, "hunter2")
    with pytest.raises(KafkaSecurityError, match=r"--ca-file: saw `.*none` "):
        administrator(LOCAL, tmp_path / "none", "admin", None)


async def test_users_are_made_by_an_administrator_alone(tmp_path: Path) -> None:
    with pytest.raises(KafkaSecurityError, match=r"--passwords: .* name it with --username"):
        await apply_all(LOCAL, [], OPEN, replication_factor=1, passwords=tmp_path)


def test_a_password_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    passwords = PasswordFolder(tmp_path / "passwords")
    passwords.open()
    assert stat.S_IMODE(passwords.path.stat().st_mode) == 0o700
    assert passwords.read("relay") is None
    made = passwords.make("relay")
    assert len(made) >= 40
    assert passwords.read("relay") == made
    assert stat.S_IMODE((passwords.path / "relay").stat().st_mode) == 0o600
    with pytest.raises(PasswordFolderError, match="File exists"):
        passwords.make("relay")
    passwords.remove(["relay", "nobody"])
    assert passwords.read("relay") is None


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("\n", encoding="utf-8")
    with pytest.raises(PasswordFolderError, match=r"relay` is empty; allowed: a password"):
        PasswordFolder(tmp_path).read("relay")


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PasswordFolderError, match="cannot hold passwords: "):
        PasswordFolder(tmp_path / "file").open()


async def test_users_passwords_are_tried_side_by_side_and_not_all_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    users = [f"agency-{number}" for number in range(3 * LOGINS_AT_ONCE)]
    for user in users:
        (tmp_path / user).write_text("of theirs", encoding="utf-8")
    entered, under_way = asyncio.Barrier(LOGINS_AT_ONCE), 0

    async def lets_in(_: KafkaAccess, user: str, password: str) -> bool:
        nonlocal under_way
        del user, password
        under_way += 1
        assert under_way <= LOGINS_AT_ONCE
        await entered.wait()  # one after the other, the first would wait for ever
        under_way -= 1
        return True

    async def known(_: KafkaAccess) -> set[str]:
        return set(users)

    async def nothing(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(KafkaAccess, "_lets_in", lets_in)
    monkeypatch.setattr(KafkaAccess, "_users", known)
    monkeypatch.setattr(KafkaAccess, "_remove_users", nothing)
    monkeypatch.setattr(KafkaAccess, "_apply_rights", nothing)
    assert await KafkaAccess(LOCAL, OPEN).apply(users, [], PasswordFolder(tmp_path)) == []
