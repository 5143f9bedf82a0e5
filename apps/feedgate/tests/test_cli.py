"""The command: what it refuses, in a line, with status 2."""

import sys

import pytest

from feedgate import cli
from feedgate.restored import KINDS
from feedgate.service_databases import PACKAGES
from feedgate_kit.errors import FeedgateError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["feedgate", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["migrate", "registry", "--database-url", "mysql://u:secret@127.0.0.1/x"],
            "feedgate: database driver `mysql`; allowed: `postgresql+asyncpg`, `sqlite+aiosqlite`"
            " (docs/ref/settings.md)\n",
            id="another database",
        ),
        pytest.param(
            ["migrate", "registry", "--database-url", "secret"],
            "feedgate: registry's database cannot be migrated: Could not parse SQLAlchemy URL from given URL string\n",
            id="no URL",
        ),
        pytest.param(
            ["migrate", "audit", "--database-url", "sqlite+aiosqlite:///x", "--running-role", "audit"],
            "feedgate: --running-role: only PostgreSQL has roles\n",
            id="a role for SQLite",
        ),
        pytest.param(
            ["topics", "apply", "--bootstrap", "127.0.0.1:1", "--agencies-file", "no-such-file"],
            "feedgate: agencies file `no-such-file` cannot be read: [Errno 2] No such file or directory:"
            " 'no-such-file'; allowed: a YAML list of agencies (docs/guide/one-box.md)\n",
            id="no agencies",
        ),
        pytest.param(
            ["verify-audit", "--data", "no-such-folder"],
            "feedgate: `no-such-folder` holds no audit database; name the folder with --data (docs/guide/one-box.md)\n",
            id="no chain",
        ),
    ],
)
def test_what_can_be_put_right_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert capsys.readouterr() == ("", says)


def test_a_service_without_a_database_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "migrate", "relay", "--database-url", "x") == 2
    assert "'relay' is not one of 'registry', 'access-policy', 'audit'" in capsys.readouterr().err
    assert sorted(PACKAGES) == ["access-policy", "audit", "registry"]


def test_migrating_twice_is_as_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    for service in PACKAGES:
        for _ in range(2):
            url = f"sqlite+aiosqlite:///{tmp_path}/{service}.sqlite"
            assert run(monkeypatch, "migrate", service, "--database-url", url) == 0
            assert capsys.readouterr() == (f"{service}: migrated\n", "")


def test_only_a_migrated_database_of_a_service_with_a_state_topic_is_brought_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert run(monkeypatch, "restored", "audit") == 2
    assert "'audit' is not one of 'registry', 'access-policy'" in capsys.readouterr().err
    assert sorted(KINDS) == ["access-policy", "registry"]
    for setting, value in (
        ("OWNER_HASH_KEY", "of the owners in this test, and of no other"),
        ("POOLS_FILE", "pools.yaml"),
        ("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/registry.sqlite"),
    ):
        monkeypatch.setenv(f"FEEDGATE_REGISTRY_{setting}", value)
    assert run(monkeypatch, "restored", "registry") == 2
    says = (
        "feedgate: registry's database has an older schema; allowed: this version's."
        " Run `feedgate migrate registry` first\n"
    )
    assert capsys.readouterr() == ("", says)
    database = f"sqlite+aiosqlite:///{tmp_path}/registry.sqlite"
    assert run(monkeypatch, "migrate", "registry", "--database-url", database) == 0
    capsys.readouterr()
    assert run(monkeypatch, "restored", "registry") == 2
    assert capsys.readouterr().err == "feedgate: registry's database is SQLite; allowed: PostgreSQL\n"


def test_what_nobody_expected_is_a_redacted_log_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("rtsp://shop:secret@192.0.2.1/stream")

    monkeypatch.setattr(cli, "app", fail_when_run(fail))
    assert run(monkeypatch) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert errors.startswith("{")
    assert "secret" not in errors


def test_an_expected_failure_is_redacted_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise FeedgateError("cannot reach postgresql://u:secret@127.0.0.1/x")

    monkeypatch.setattr(cli, "app", fail_when_run(fail))
    assert run(monkeypatch) == 2
    assert "secret" not in capsys.readouterr().err


class FailsWhenRun:
    """Stands where typer's app does."""

    def __init__(self, fail: object) -> None:
        self.fail = fail

    def command(self, _: str) -> object:
        return lambda command: command

    def __call__(self) -> None:
        assert callable(self.fail)
        self.fail()


def fail_when_run(fail: object) -> FailsWhenRun:
    return FailsWhenRun(fail)
