"""How a service reaches a secured Kafka, and what of its settings does not go together."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from feedgate_kit.bus.kafka_settings import KafkaSecurity, kafka_settings
from feedgate_kit.settings import ServiceSettings, SettingsError, settings_of
from tests.servers.certificates import CertificateAuthority

PREFIX = "FEEDGATE_RELAY_KAFKA_"
PAGE = " (docs/ref/settings.md)"
PASSWORD = SecretStr("hunter2")


class RelaySettings(ServiceSettings):
    model_config = settings_of("relay")


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return CertificateAuthority(tmp_path).ca_file


def refused(**values: object) -> str:
    with pytest.raises(SettingsError) as raised:
        kafka_settings(RelaySettings(**values))  # type: ignore[arg-type]
    said = str(raised.value)
    assert "\n" not in said
    assert "hunter2" not in said
    return said


def test_unset_they_reach_a_kafka_that_asks_nobody() -> None:
    settings = kafka_settings(RelaySettings(kafka_bootstrap="kafka.example:9092"), member="relay-1")
    assert (settings.bootstrap, settings.member) == ("kafka.example:9092", "relay-1")
    assert settings.security.client_options() == {
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": None,
        "sasl_plain_password": None,
    }


def test_set_they_are_tls_and_a_user(ca_file: Path) -> None:
    settings = kafka_settings(
        RelaySettings(
            kafka_bootstrap="kafka.example:9093",
            kafka_ca_file=ca_file,
            kafka_username="relay",
            kafka_password=PASSWORD,
        )
    )
    options = settings.security.client_options()
    context = options.pop("ssl_context")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "relay",
        "sasl_plain_password": "hunter2",
    }
    assert "hunter2" not in repr(settings)


def test_tls_alone_asks_nobody_who_they_are(ca_file: Path) -> None:
    assert kafka_settings(RelaySettings(kafka_ca_file=ca_file)).security.protocol == "SSL"


def test_half_of_a_user_is_refused() -> None:
    assert refused(kafka_username="relay") == (
        f"{PREFIX}PASSWORD is not set, but {PREFIX}USERNAME is; allowed: both or neither{PAGE}"
    )
    assert refused(kafka_password=PASSWORD) == (
        f"{PREFIX}USERNAME is not set, but {PREFIX}PASSWORD is; allowed: both or neither{PAGE}"
    )


def test_a_ca_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    none, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.touch()
    allowed = f"allowed: a PEM file with the certificates that sign the brokers'{PAGE}"
    assert refused(kafka_ca_file=none) == (
        f"{PREFIX}CA_FILE: saw `{none}` (No such file or directory); {allowed}"
    )
    assert refused(kafka_ca_file=empty) == f"{PREFIX}CA_FILE: saw `{empty}` (no certificate in it); {allowed}"


def test_a_ca_file_that_has_expired_is_refused(tmp_path: Path) -> None:
    expired = CertificateAuthority(tmp_path, valid_for=timedelta(days=-1)).ca_file
    assert f"{PREFIX}CA_FILE: saw `{expired}` (expired on " in refused(kafka_ca_file=expired)


@pytest.mark.parametrize(
    ("bootstrap", "host"),
    [
        ("kafka.example:9092", "kafka.example"),
        ("127.0.0.1:9092, 10.0.0.7:9092", "10.0.0.7"),
        ("127.0.0.1.example:9092", "127.0.0.1.example"),
    ],
)
def test_a_password_crosses_no_network_in_the_clear(bootstrap: str, host: str) -> None:
    said = refused(kafka_bootstrap=bootstrap, kafka_username="relay", kafka_password=PASSWORD)
    assert said == (
        f"{PREFIX}BOOTSTRAP: a password is to go to the host `{host}` without TLS;"
        f" allowed: {PREFIX}CA_FILE, or loopback{PAGE}"
    )


def test_on_this_host_a_password_needs_no_tls() -> None:
    settings = kafka_settings(
        RelaySettings(
            kafka_bootstrap="127.0.0.1:9092,[::1]:9092,localhost:9092",
            kafka_username="relay",
            kafka_password=PASSWORD,
        )
    )
    assert settings.security == KafkaSecurity(username="relay", password="hunter2")
    assert settings.security.protocol == "SASL_PLAINTEXT"
