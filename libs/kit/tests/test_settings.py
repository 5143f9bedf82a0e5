"""Settings as an operator meets them: variables, files, and errors of one line."""

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from feedgate_kit.identity import IssuersError, PlainHttpIssuerError
from feedgate_kit.settings import ServiceSettings, SettingsError, load_settings, settings_of

PREFIX = "FEEDGATE_ACCESS_POLICY_"
PAGE = " (docs/ref/settings.md)"


class PolicySettings(ServiceSettings):
    model_config = settings_of("access-policy")

    hash_key: SecretStr | None = Field(default=None, min_length=32)
    """Thirty-two bytes or more."""

    pools: list[str] = Field(default_factory=list)
    """A list, written as JSON."""


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("FEEDGATE_"):
            monkeypatch.delenv(variable)


def refused(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings(PolicySettings)
    return str(raised.value)


def test_everything_has_a_default_that_works_on_one_machine() -> None:
    settings = load_settings(PolicySettings)
    assert (settings.public_listen.host, settings.public_listen.port) == ("127.0.0.1", 8080)
    assert settings.public_listen.port_setting == PREFIX + "PUBLIC_PORT"
    assert settings.internal_listen.host_setting == PREFIX + "INTERNAL_HOST"


def test_variables_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PUBLIC_PORT", "9000")
    monkeypatch.setenv(PREFIX.lower() + "skew_s", "0.25")
    monkeypatch.setenv(PREFIX + "POOLS", '["a", "b"]')
    settings = load_settings(PolicySettings)
    assert (settings.public_port, settings.skew_s, settings.pools) == (9000, 0.25, ["a", "b"])


def test_a_secret_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql+asyncpg://feedgate:hunter2@127.0.0.1/policy"
    (tmp_path / "feedgate_access_policy_database_url").write_text(url + "\n")
    monkeypatch.setenv("FEEDGATE_SECRETS_DIR", str(tmp_path))
    settings = load_settings(PolicySettings)
    assert settings.require_database_url() == url
    assert "hunter2" not in repr(settings)


def test_a_secrets_directory_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FEEDGATE_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(
        SettingsError,
        match=r"FEEDGATE_SECRETS_DIR: `.*none` is not a directory; allowed: .* \(docs/ref/settings\.md\)$",
    ):
        load_settings(PolicySettings)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PUBLIC_PORT", "70000", "less than or equal to 65535"),
        ("PUBLIC_PORT", "http", "integer"),
        ("PUBLIC_PORT", "", "integer"),
        ("SKEW_S", "-1", "greater than or equal to 0"),
        ("SKEW_S", "nan", "less than or equal to 5"),
        ("PUBLIC_ORIGIN", "https://feedgate.example/", "without a path"),
        ("PUBLIC_ORIGIN", "feedgate.example", "an origin like"),
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("POOLS", "a,b", "a JSON list"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_variable_what_was_seen_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    said = refused(monkeypatch, **{name: value})
    assert (PREFIX + name) in said
    assert "\n" not in said
    assert allowed in said
    assert said.endswith(PAGE)
    assert name == "POOLS" or f"saw `{value}`" in said


def test_each_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, PUBLIC_PORT="x", INTERNAL_PORT="y", LOG_LEVEL="z")
    assert [line.endswith(PAGE) for line in said.splitlines()] == [True, True, True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HASH_KEY", "hunter2"),
        ("PUBLIC_ORIGIN", "https://user:hunter2@feedgate.example"),
        ("KAFKA_PASWORD", "hunter2"),
    ],
)
def test_an_error_never_repeats_a_secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    said = refused(monkeypatch, **{name: value})
    assert PREFIX + name in said
    assert said.endswith(PAGE)
    assert "hunter2" not in said


def test_a_misspelt_variable_is_an_error_and_the_nearest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, PUBLIC_PROT="9000")
    assert (
        said == f"{PREFIX}PUBLIC_PROT is no setting of this service; did you mean {PREFIX}PUBLIC_PORT?{PAGE}"
    )


def test_a_variable_that_is_like_no_setting_is_told_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, NONSENSE="1")
    assert said.startswith(f"{PREFIX}NONSENSE is no setting of this service; allowed: {PREFIX}")
    assert f"{PREFIX}SKEW_S" in said
    assert said.endswith(PAGE)


def test_variables_of_other_services_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDGATE_REGISTRY_WHATEVER", "1")
    load_settings(PolicySettings)


def test_every_setting_says_how_to_choose_it() -> None:
    for name, field in PolicySettings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("method", "allowed"),
    [
        ("load_issuers", "YAML list of the OIDC issuers to believe"),
        ("load_agencies", "YAML list of the police agencies"),
        ("require_database_url", "`postgresql+asyncpg://user:password@host/name`, or `sqlite"),
    ],
)
def test_what_is_needed_and_not_set_is_one_line_that_names_it_and_what_it_may_be(
    method: str, allowed: str
) -> None:
    with pytest.raises(SettingsError, match=r"^FEEDGATE_ACCESS_POLICY_[A-Z_]+ is not set; [^\n]*$") as raised:
        getattr(PolicySettings(), method)()
    assert f"; allowed: {allowed}" in str(raised.value)
    assert str(raised.value).endswith(PAGE)


class NeedySettings(PolicySettings):
    ticket_key_file: Path
    """Private keys, PEM. The first signs tickets."""


def test_a_setting_without_a_default_is_one_line_that_says_what_it_may_be() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(NeedySettings)
    assert str(raised.value) == (
        f"{PREFIX}TICKET_KEY_FILE is not set; it has no default; allowed: Private keys, PEM{PAGE}"
    )


PLAIN = "- {issuer: 'http://127.0.0.1:8180/realms/owners', realm: owners, audience: feedgate}"


def settings_with_plain_issuer(tmp_path: Path, **changes: object) -> PolicySettings:
    path = tmp_path / "issuers.yaml"
    path.write_text(PLAIN)
    database = SecretStr("postgresql+asyncpg://feedgate:hunter2@localhost/policy")
    fields = {"issuers_file": path, "database_url": database, "kafka_bootstrap": "127.0.0.1:1,[::1]:2"}
    return PolicySettings(**(fields | changes))  # type: ignore[arg-type]  # fields of several types


def test_a_plain_http_issuer_is_fine_where_all_is_on_loopback(tmp_path: Path) -> None:
    assert len(settings_with_plain_issuer(tmp_path).load_issuers()) == 1
    sqlite = SecretStr("sqlite+aiosqlite:////data/policy.sqlite")
    assert settings_with_plain_issuer(tmp_path, database_url=sqlite).load_issuers()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_host", "0.0.0.0"),
        ("internal_host", "10.0.0.7"),
        ("kafka_bootstrap", "127.0.0.1:9092,kafka-2:9092"),
        ("kafka_bootstrap", "kafka:9092"),
        ("database_url", SecretStr("postgresql+asyncpg://feedgate:hunter2@db/policy")),
        ("database_url", SecretStr("postgresql+asyncpg:///policy?host=/run/postgresql")),
    ],
)
def test_a_plain_http_issuer_is_refused_where_something_leads_off_this_host(
    tmp_path: Path, field: str, value: object
) -> None:
    with pytest.raises(PlainHttpIssuerError, match=PREFIX + field.upper()) as raised:
        settings_with_plain_issuer(tmp_path, **{field: value}).load_issuers()
    assert "hunter2" not in str(raised.value)


def test_an_issuers_file_is_read_at_once(tmp_path: Path) -> None:
    with pytest.raises(IssuersError, match="cannot be read"):
        settings_with_plain_issuer(tmp_path, issuers_file=tmp_path / "none.yaml").load_issuers()
