"""`feedgate check-settings`: what a service would start with, without its secrets."""

from pathlib import Path
from typing import get_args

import pytest

from feedgate.cli import WithSettings
from feedgate.effective_settings import KINDS

from .test_cli import run

RELAY = "FEEDGATE_RELAY_"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of secrets, and nothing set but what the test sets."""
    monkeypatch.setenv("FEEDGATE_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_the_command_knows_every_service() -> None:
    assert set(get_args(WithSettings)) == set(KINDS)


def test_each_value_says_where_it_came_from_and_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secrets: Path
) -> None:
    (secrets / "feedgate_relay_client_secret").write_text("a://hunter2/b", encoding="utf-8")
    (secrets / "feedgate_relay_database_url").write_text(
        "postgresql+asyncpg://relay:hunter2@127.0.0.1/relay?password=hunter2&ssl=require", encoding="utf-8"
    )
    monkeypatch.setenv(f"{RELAY}TOKEN_URL", "https://relay:hunter2@id.example.org/token")
    monkeypatch.setenv(f"{RELAY.lower()}relay_id", "relay-7")
    assert run(monkeypatch, "check-settings", "relay") == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert f"{RELAY}CLIENT_SECRET=********  # file" in lines
    assert f"{RELAY}DATABASE_URL=postgresql+asyncpg://127.0.0.1/relay?ssl=require  # file" in lines
    assert f"{RELAY}TOKEN_URL=https://id.example.org/token  # environment" in lines
    assert f"{RELAY}RELAY_ID=relay-7  # environment" in lines
    assert f"{RELAY}SKEW_S=0.5  # default" in lines
    assert len(lines) == len(KINDS["relay"].model_fields)
    assert ("hunter2" in output, errors) == (False, "")


def test_without_a_name_it_looks_at_every_service_that_something_is_set_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secrets: Path
) -> None:
    (secrets / "feedgate_up_skew_s").write_text("0.1", encoding="utf-8")
    monkeypatch.setenv(f"{RELAY}RELAY_ID", "relay-7")
    assert run(monkeypatch, "check-settings") == 0
    services = {line.split("_")[1] for line in capsys.readouterr().out.splitlines()}
    assert services == {"UP", "RELAY"}


@pytest.mark.usefixtures("secrets")
def test_with_nothing_set_it_asks_for_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check-settings") == 2
    assert capsys.readouterr().err.startswith("feedgate: no variable of any service is set; name one: up, ")


@pytest.mark.usefixtures("secrets")
def test_what_is_dangerous_is_said_and_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{RELAY}ACCESS_POLICY_INTERNAL_URL", "http://access-policy:8081")
    monkeypatch.setenv(f"{RELAY}PUBLIC_PORT", "8081")
    assert run(monkeypatch, "check-settings", "relay") == 2
    output, errors = capsys.readouterr()
    assert f"{RELAY}PUBLIC_PORT=8081  # environment" in output
    assert [line.removeprefix("feedgate: ").split(":")[0] for line in errors.splitlines()] == [
        f"{RELAY}ACCESS_POLICY_INTERNAL_URL",
        f"{RELAY}INTERNAL_PORT",
    ]
