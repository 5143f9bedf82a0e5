"""How a process reaches Kafka, and who it is there. No Kafka client is needed to say so."""

import ssl
import time
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.plain_http import is_loopback
from feedgate_kit.settings import ServiceSettings, SettingsError
from feedgate_kit.trust import FollowedContext

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""On topic, producer and consumer alike: a 4K keyframe is over 1 MiB."""
DEFAULT_PORT: Final = 9092
MECHANISM: Final = "SCRAM-SHA-512"


class KafkaSecurityError(FeedgateError):
    """What was given to reach a secured Kafka with cannot be used."""


class _SaysGoodbyeAndGoes(ssl.SSLObject):
    """Ends a connection without waiting for the other side's `close_notify`, as RFC 8446 §6.1 allows.

    uvloop waits 30 s for one that Kafka, with a fetch of ours in its hands, may never send; aiokafka
    waits for uvloop, and so would a service that is to stop.
    """

    def unwrap(self) -> Any:
        try:
            return super().unwrap()
        except ssl.SSLWantReadError:
            return None


@dataclass(frozen=True, kw_only=True)
class KafkaSecurity:
    """Who this process is to Kafka, and by whose signature it knows the brokers."""

    ca_file: Path | None = None
    """Set: TLS, to brokers with a certificate for the name they are reached by, signed by one of these."""
    username: str | None = None
    """Set: SASL/SCRAM-SHA-512."""
    password: str = field(default="", repr=False)

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """None where nothing is encrypted. Changes of the file are followed.

        Raises:
            KafkaSecurityError: the file holds no certificate that is in date.
        """
        if self.ca_file is None:
            return None
        return FollowedContext(ssl.PROTOCOL_TLS_CLIENT, partial(_tls_by, self.ca_file), [self.ca_file])

    @property
    def protocol(self) -> str:
        """Kafka's word for it."""
        encrypted = self.ca_file is not None
        if self.username is None:
            return "SSL" if encrypted else "PLAINTEXT"
        return "SASL_SSL" if encrypted else "SASL_PLAINTEXT"

    def client_options(self) -> dict[str, Any]:
        """As every client of aiokafka takes them."""
        return {
            "security_protocol": self.protocol,
            "ssl_context": self.tls,
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password or None,
        }

    def host_in_the_clear(self, bootstrap: str) -> str | None:
        """The broker's host, if any, that a password would reach over a network unencrypted."""
        if self.protocol != "SASL_PLAINTEXT":
            return None
        return next((host for host, _ in broker_addresses(bootstrap) if not is_loopback(host)), None)


OPEN: Final = KafkaSecurity()
"""A Kafka that asks nobody who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to reach Kafka, and when to stop waiting for it."""

    bootstrap: str
    """`host:port` of one or more brokers, separated by commas."""
    security: KafkaSecurity = OPEN
    client_id: str = "feedgate"
    request_timeout_s: float = 5.0
    """After this an append is reported failed, though it may still land; a read to the end fails."""
    media_timeout_s: float = 2.0
    """After this a picture that Kafka has not taken is dropped, with those queued behind it."""
    session_timeout_s: float = 6.0
    """After this the group gives a silent member's partitions to others."""
    heartbeat_s: float = 0.5
    """How often a member tells its group that it lives, and so learns that the group is being divided anew."""
    member: str | None = None
    """A name that outlives a restart: a member back within the session timeout keeps its partitions."""
    queue_units: int = 150
    """Pictures of one stream that may wait: a GOP of 3 s at 50 pictures a second."""
    queue_bytes: int = MAX_MESSAGE_BYTES
    """Bytes of one stream that may wait; a single larger picture still may."""


def kafka_settings(service: ServiceSettings, *, member: str | None = None) -> KafkaSettings:
    """How a service reaches Kafka.

    Args:
        service: its settings.
        member: as in `KafkaSettings`.

    Raises:
        SettingsError: one line on what of them does not go together or cannot be used.
    """
    return KafkaSettings(bootstrap=service.kafka_bootstrap, security=_security(service), member=member)


def broker_addresses(bootstrap: str) -> list[tuple[str, int]]:
    """The brokers in `host:port,host:port`; without a port, Kafka's own."""
    parts = [urlsplit(f"//{broker.strip()}") for broker in bootstrap.split(",")]
    return [(part.hostname or "", part.port or DEFAULT_PORT) for part in parts]


def _tls_by(ca_file: Path) -> ssl.SSLContext:
    allowed = "allowed: a PEM file with the certificates that sign the brokers'"
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        seen = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise KafkaSecurityError(f"saw `{ca_file}` ({seen}); {allowed}") from None
    context.sslobject_class = _SaysGoodbyeAndGoes
    ends = [str(certificate["notAfter"]) for certificate in context.get_ca_certs()]
    if all(ssl.cert_time_to_seconds(end) < time.time() for end in ends):
        raise KafkaSecurityError(f"saw `{ca_file}` (expired on {max(ends, default='?')}); {allowed}")
    return context


def _security(service: ServiceSettings) -> KafkaSecurity:
    username, password = service.kafka_username, service.kafka_password
    name = service.setting_name
    if (username is None) != (password is None):
        there, missing = ("username", "password") if password is None else ("password", "username")
        raise SettingsError(
            f"{name(f'kafka_{missing}')} is not set, but {name(f'kafka_{there}')} is; allowed: both or neither"
        )
    security = KafkaSecurity(
        ca_file=service.kafka_ca_file,
        username=username,
        password="" if password is None else password.get_secret_value(),
    )
    try:
        _ = security.tls
    except KafkaSecurityError as error:
        raise SettingsError(f"{name('kafka_ca_file')}: {error}") from None
    if (host := security.host_in_the_clear(service.kafka_bootstrap)) is not None:
        raise SettingsError(
            f"{name('kafka_bootstrap')}: a password is to go to the host `{host}` without TLS;"
            f" allowed: {name('kafka_ca_file')}, or loopback"
        )
    return security
