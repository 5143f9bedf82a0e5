"""Settings that are dangerous together: each named in a line, and refused when a service starts."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from pydantic import SecretStr

from feedgate_kit.dangers import dangers, refuse_dangers
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.settings import CallerSettings, SettingsError, settings_of


class CalledSettings(CallerSettings):
    model_config = settings_of("service")

    neighbour_url: str = "http://127.0.0.1:8081"

    def called_urls(self) -> Mapping[str, str]:
        return {**super().called_urls(), self.setting_name("neighbour_url"): self.neighbour_url}


def settings(**changes: Any) -> CalledSettings:
    return CalledSettings(**changes)


FAR_DATABASE = "postgresql+asyncpg://u:hunter2@db.example.org/x"
SAFE: list[dict[str, object]] = [
    {},
    {"public_host": "0.0.0.0", "internal_host": "10.0.0.5", "public_origin": "https://feedgate.example.org"},
    {"internal_port": 0, "public_port": 0},
    {"neighbour_url": "https://registry:8081", "token_url": "https://id.example.org/token"},
    {"database_url": SecretStr(f"{FAR_DATABASE}?ssl=verify-full")},
    {"database_url": SecretStr("postgresql+asyncpg://u@127.0.0.1/x")},
    {"database_url": SecretStr("sqlite+aiosqlite:///somewhere")},
    {"database_url": SecretStr("postgresql+asyncpg:///x?host=/run/postgresql")},
    {"skew_s": 0},
    {
        "private_hosts": ("kafka", "db.example.org", "registry", "0.0.0.0"),
        "kafka_bootstrap": "kafka:9092",
        "database_url": SecretStr(FAR_DATABASE),
        "neighbour_url": "http://registry:8081",
        "public_host": "0.0.0.0",
        "internal_host": "0.0.0.0",
    },
]
DANGEROUS: Mapping[str, tuple[dict[str, object], str]] = {
    "a neighbour over plain http": (
        {"neighbour_url": "http://registry:8081"},
        "FEEDGATE_SERVICE_NEIGHBOUR_URL: a token would go to the host `registry` in the clear; allowed: https,",
    ),
    "the token endpoint over plain http": (
        {"token_url": "http://id.example.org/token"},
        "FEEDGATE_SERVICE_TOKEN_URL: a token would go to the host `id.example.org` in the clear;",
    ),
    "Kafka without TLS": (
        {"kafka_bootstrap": "127.0.0.1:9092,kafka:9092"},
        "FEEDGATE_SERVICE_KAFKA_BOOTSTRAP: the host `kafka` would be spoken to without TLS; allowed:",
    ),
    "PostgreSQL without TLS": (
        {"database_url": SecretStr(FAR_DATABASE)},
        "FEEDGATE_SERVICE_DATABASE_URL: the host `db.example.org` would be spoken to without TLS (`ssl`: nothing);",
    ),
    "PostgreSQL with TLS if it likes": (
        {"database_url": SecretStr(f"{FAR_DATABASE}?ssl=prefer")},
        "FEEDGATE_SERVICE_DATABASE_URL: the host `db.example.org` would be spoken to without TLS (`ssl`: prefer);",
    ),
    "the internal port where the public one is": (
        {"public_host": "0.0.0.0", "internal_host": "0.0.0.0"},
        "FEEDGATE_SERVICE_INTERNAL_HOST: `0.0.0.0` is FEEDGATE_SERVICE_PUBLIC_HOST too, so",
    ),
    "one port for both": (
        {"public_port": 8080, "internal_port": 8080},
        "FEEDGATE_SERVICE_INTERNAL_PORT: 8080 is FEEDGATE_SERVICE_PUBLIC_PORT too;",
    ),
    "no skew between hosts": (
        {"skew_s": 0, "kafka_bootstrap": "kafka:9092", "private_hosts": ("kafka",)},
        "FEEDGATE_SERVICE_SKEW_S: 0 says that every host has one clock, and kafka is another host;",
    ),
    "a key without its certificate": (
        {"internal_key_file": Path("key.pem")},
        "FEEDGATE_SERVICE_INTERNAL_CERTIFICATE_FILE is not set; a certificate and its key go together",
    ),
}


@pytest.mark.parametrize("changes", SAFE)
def test_what_is_safe_is_let_through(changes: dict[str, object]) -> None:
    assert list(dangers(settings(**changes))) == []


@pytest.mark.parametrize("case", DANGEROUS)
def test_a_danger_is_one_line_that_says_where_to_read(case: str) -> None:
    changes, said = DANGEROUS[case]
    with pytest.raises(SettingsError) as refused:
        refuse_dangers(settings(**changes))
    [line] = str(refused.value).splitlines()
    assert line.startswith(said)
    assert line.endswith(" (docs/ref/settings.md)")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ("FEEDGATE_SERVICE_PUBLIC_HOST", {"public_host": "0.0.0.0"}),
        ("FEEDGATE_SERVICE_PUBLIC_ORIGIN", {"public_origin": "https://feedgate.example.org"}),
        ("FEEDGATE_SERVICE_NEIGHBOUR_URL", {"neighbour_url": "https://registry:8081"}),
    ],
)
def test_a_development_issuer_is_for_loopback_alone(
    tmp_path: Path, setting: str, changes: dict[str, object]
) -> None:
    issuers = tmp_path / "issuers.yaml"
    issuers.write_text(
        "- {issuer: 'http://127.0.0.1:8180/realms/owners', realm: owners, audience: feedgate}\n",
        encoding="utf-8",
    )
    assert list(dangers(CalledSettings(issuers_file=issuers))) == []
    [line] = dangers(settings(issuers_file=issuers, **changes))
    assert "issuer `http://127.0.0.1:8180/realms/owners` is plain http" in line
    assert setting in line
    assert line.endswith(" (docs/ref/settings.md)")


NOW = dt.datetime.now(dt.UTC)


def certificate(folder: Path, name: str, *days: tuple[int, int]) -> tuple[Path, Path]:
    """A file of certificates, each valid from and until so many days from now; the key is the last one's."""
    file, key_file, pem = folder / f"{name}.pem", folder / f"{name}.key", b""
    for begins, ends in days:
        key = generate_private_key(SECP256R1())
        pem += _signed(key, begins, ends).public_bytes(serialization.Encoding.PEM)
    file.write_bytes(pem)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file, key_file


def _signed(key: EllipticCurvePrivateKey, begins: int, ends: int) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + dt.timedelta(days=begins))
        .not_valid_after(NOW + dt.timedelta(days=ends))
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize("setting", ["ca_file", "internal_certificate_file"])
@pytest.mark.parametrize("days", [(-30, -1), (1, 30)])
def test_a_certificate_that_is_not_in_date_is_refused(
    tmp_path: Path, setting: str, days: tuple[int, int]
) -> None:
    file, key_file = certificate(tmp_path, "it", days)
    files = {setting: file} | ({"internal_key_file": key_file} if setting != "ca_file" else {})
    [line] = dangers(settings(**files))
    until = (NOW + dt.timedelta(days=days[1])).strftime("%Y-%m-%d")
    assert line.startswith(f"FEEDGATE_SERVICE_{setting.upper()}: `{file}` is valid from ")
    assert f" until {until}" in line
    assert "; allowed: a certificate that is in date now" in line
    assert line.endswith(" (docs/ref/settings.md)")


def test_the_next_authority_beside_one_that_is_over_is_enough(tmp_path: Path) -> None:
    file, _ = certificate(tmp_path, "both", (-30, -1), (-1, 30))
    assert list(dangers(CalledSettings(ca_file=file))) == []


def test_a_file_without_a_certificate_and_a_key_of_another_are_refused(tmp_path: Path) -> None:
    file, key_file = certificate(tmp_path, "one", (-1, 30))
    _, another = certificate(tmp_path, "another", (-1, 30))
    [line] = dangers(CalledSettings(ca_file=key_file))
    assert line.endswith(
        "holds no PEM certificate; allowed: a PEM file of certificates (docs/ref/settings.md)"
    )
    [line] = dangers(CalledSettings(internal_certificate_file=file, internal_key_file=another))
    assert line.startswith(
        f"FEEDGATE_SERVICE_INTERNAL_KEY_FILE: saw `{another}` (not the certificate's key);"
    )
    [line] = dangers(CalledSettings(ca_file=tmp_path / "none.pem"))
    assert "cannot be read: No such file" in line


def test_a_service_does_not_start_with_a_danger(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(_: CalledSettings) -> Service:
        raise AssertionError("built")

    monkeypatch.setenv("FEEDGATE_SERVICE_NEIGHBOUR_URL", "http://registry:8081")
    monkeypatch.setenv("FEEDGATE_SERVICE_KAFKA_BOOTSTRAP", "kafka:9092")
    assert run(CalledSettings, build) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "FEEDGATE_SERVICE_NEIGHBOUR_URL",
        "FEEDGATE_SERVICE_KAFKA_BOOTSTRAP",
    ]
