"""The settings all services share, in the one style every service's own follow.

Each is an environment variable: the service's prefix and the field's name in
capitals, e.g. `FEEDGATE_REGISTRY_PUBLIC_PORT`. Any of them may be a file of that
name in lower case in the directory `FEEDGATE_SECRETS_DIR` names.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as PydanticSettingsError

from feedgate_kit.agencies import Agency, load_agencies
from feedgate_kit.clock import Clock
from feedgate_kit.errors import OperatorError
from feedgate_kit.identity.issuers import IssuerConfig, load_issuers
from feedgate_kit.identity.plain_http import refuse_plain_http
from feedgate_kit.listening import Listen
from feedgate_kit.tokens import ClientCredentials, TokenSource
from feedgate_kit.trust import ServerCertificate, Trust, load_server_certificate, load_trust
from feedgate_kit.wrong_values import HIDDEN, is_secret_name

S = TypeVar("S", bound="ServiceSettings")

SECRETS_DIR_VARIABLE: Final = "FEEDGATE_SECRETS_DIR"
MAXIMUM_SHOWN_CHARS: Final = 80
NEAR: Final = 0.75
"""How alike two names must be for one to be meant by the other: two letters swapped in six still are."""


class SettingsError(OperatorError):
    """Settings nobody can run with. One line per setting: its variable, what was seen, what is allowed."""


class ServiceSettings(BaseSettings):
    """Settings of every service. A subclass sets its prefix: `model_config = settings_of("registry")`."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, frozen=True, use_attribute_docstrings=True
    )

    kafka_bootstrap: str = "127.0.0.1:9092"
    """Kafka brokers to begin with, `host:port` separated by commas; name two or more in production."""

    kafka_ca_file: Path | None = None
    """PEM file of the certificates that sign the brokers'. Set, Kafka is spoken to over TLS alone."""

    kafka_username: str | None = Field(default=None, min_length=1)
    """Who this service is to Kafka (SASL/SCRAM-SHA-512), by custom its name; needs the password."""

    kafka_password: SecretStr | None = Field(default=None, min_length=1)
    """Of that user. Give it as a file. Without `KAFKA_CA_FILE` it goes to brokers on loopback alone."""

    database_url: SecretStr | None = None
    """`postgresql+asyncpg://user:password@host/name`, or `sqlite+aiosqlite:///path` in one process. To another
    host with `?ssl=verify-full`; `PGSSLROOTCERT` in the environment names the authority's file.
    Give it as a file: it holds a password. Services without a database leave it out."""

    public_host: str = "127.0.0.1"
    """Where the public API listens: by default this host only; behind a gateway, an address it reaches."""

    public_port: int = Field(default=8080, ge=0, le=65535)
    """Port of the public API; 0 takes any free one."""

    internal_host: str = "127.0.0.1"
    """Where `/metrics` and `/internal` listen. Never an address that owners or agencies can reach."""

    internal_port: int = Field(default=8081, ge=0, le=65535)
    """Port of `/metrics` and `/internal`; 0 takes any free one."""

    public_origin: str = "http://127.0.0.1:8080"
    """What browsers see: scheme, host and port without a path. Pages of another origin get no WebSocket."""

    issuers_file: Path | None = None
    """YAML list of the OIDC issuers to believe, each with its realm, as in docs/guide/one-box.md."""

    agencies_file: Path | None = None
    """YAML list of the police agencies: id, name, jurisdiction, issuer."""

    internal_certificate_file: Path | None = None
    """PEM file with the certificate that the internal port shows, and its chain. Set, it speaks TLS alone."""

    internal_key_file: Path | None = None
    """Private key of that certificate, PEM, readable by this service only."""

    private_hosts: tuple[str, ...] = ()
    """Hosts on a network that nobody else is on, as a JSON list like `["kafka", "postgres"]`: the only ones off
    loopback that may be spoken to without TLS. An address named here may also be bound by both ports."""

    ca_file: Path | None = None
    """PEM file of certificate authorities to believe beside the system's, for every `https` address this
    service calls: issuers and other services. Left out: the system's alone."""

    skew_s: float = Field(default=0.5, ge=0, le=5)
    """How far two hosts' clocks may differ, in seconds. Alert below it; 0 only where all is one process."""

    shutdown_s: float = Field(default=5.0, ge=1, le=60)
    """How long connections may take to end after SIGTERM, in seconds.

    Letting go of Kafka comes after it: at once where Kafka answers, some 20 s at most.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """`INFO` writes a line per request; `DEBUG` also for health checks."""

    @field_validator("public_origin")
    @classmethod
    def _is_origin(cls, origin: str) -> str:
        parts = urlsplit(origin)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.username is not None
            or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError(
                "an origin like https://feedgate.example.org, without a path or a slash at its end"
            )
        return origin

    @classmethod
    def setting_name(cls, field: str) -> str:
        """The environment variable of a field."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @classmethod
    def missing(cls, field: str, why: str) -> SettingsError:
        """That a setting is needed, and what it may be: the first sentence of its description."""
        allowed = re.split(r"\.\s|\.$", cls.model_fields[field].description or "")[0]
        return SettingsError(
            f"{cls.setting_name(field)} is not set; {why}; allowed: {' '.join(allowed.split())}"
        )

    @property
    def public_listen(self) -> Listen:
        return self._listen("public")

    @property
    def internal_listen(self) -> Listen:
        return self._listen("internal")

    def load_issuers(self) -> tuple[IssuerConfig, ...]:
        """The issuers to believe.

        Raises:
            SettingsError: there is no file.
            IssuersError: it cannot be used.
            PlainHttpIssuerError: an issuer is plain http and not everything is on loopback.
        """
        if self.issuers_file is None:
            raise self.missing(
                "issuers_file", "an OIDC issuer is needed (`feedgate demo` brings one for a try)"
            )
        issuers = load_issuers(self.issuers_file)
        refuse_plain_http((url for issuer in issuers for url in issuer.urls), self.own_hosts())
        return issuers

    def load_agencies(self) -> Mapping[str, Agency]:
        """The agencies by id.

        Raises:
            SettingsError: there is no file.
            AgenciesError: it cannot be used.
        """
        if self.agencies_file is None:
            raise self.missing("agencies_file", "the list of agencies is needed")
        return load_agencies(self.agencies_file)

    def load_trust(self) -> Trust:
        """Whose certificates count for outgoing HTTPS.

        Raises:
            CertificateError: `ca_file` cannot be used.
        """
        return load_trust(self.ca_file, self.setting_name("ca_file"))

    def load_internal_tls(self) -> ServerCertificate | None:
        """What the internal port proves itself with; None where it speaks plain http.

        Raises:
            SettingsError: half of it is set.
            CertificateError: it cannot be used.
        """
        certificate, key = self.internal_certificate_file, self.internal_key_file
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            half = "internal_key_file" if key is None else "internal_certificate_file"
            raise self.missing(half, "a certificate and its key go together")
        return load_server_certificate(
            certificate,
            key,
            self.setting_name("internal_certificate_file"),
            self.setting_name("internal_key_file"),
        )

    def certificate_files(self) -> Mapping[str, Path]:
        """The files of certificates that are set, by their setting without the service's prefix."""
        names = ("ca_file", "kafka_ca_file", "internal_certificate_file")
        return {name.upper(): getattr(self, name) for name in names if getattr(self, name) is not None}

    def called_urls(self) -> Mapping[str, str]:
        """The addresses that this service calls with a token or a secret, by their setting."""
        return {}

    def require_database_url(self) -> str:
        """The database's address, password included.

        Raises:
            SettingsError: it is not set.
        """
        if self.database_url is None:
            raise self.missing("database_url", "this service keeps a database")
        return self.database_url.get_secret_value()

    def own_hosts(self) -> Mapping[str, str]:
        """Every host this service binds, talks to or is seen at, by its setting."""
        hosts = {
            self.setting_name("public_origin"): urlsplit(self.public_origin).hostname or "",
            **{name: urlsplit(url).hostname or "" for name, url in self.called_urls().items() if url},
            self.setting_name("public_host"): self.public_host,
            self.setting_name("internal_host"): self.internal_host,
        }
        for number, broker in enumerate(self.kafka_bootstrap.split(","), start=1):
            name = self.setting_name("kafka_bootstrap")
            hosts[name if number == 1 else f"{name} ({number})"] = (
                urlsplit(f"//{broker.strip()}").hostname or ""
            )
        if self.database_url is not None:
            parts = urlsplit(self.database_url.get_secret_value())
            if not parts.scheme.startswith("sqlite"):
                hosts[self.setting_name("database_url")] = parts.hostname or ""
        return hosts

    def _listen(self, face: Literal["public", "internal"]) -> Listen:
        return Listen(
            getattr(self, f"{face}_host"),
            getattr(self, f"{face}_port"),
            self.setting_name(f"{face}_host"),
            self.setting_name(f"{face}_port"),
        )


class CallerSettings(ServiceSettings):
    """Settings of a service that calls another's internal port, and so needs tokens of its own."""

    token_url: str = ""
    """Token endpoint of the issuer that speaks for services."""

    client_id: str = ""
    """This service's name at that issuer."""

    client_secret: SecretStr | None = None
    """This service's secret at that issuer. Give it as a file."""

    def called_urls(self) -> Mapping[str, str]:
        return {self.setting_name("token_url"): self.token_url}

    def load_token_source(self, clock: Clock, trust: Trust) -> TokenSource:
        """This service's own tokens; none is asked for yet.

        Raises:
            SettingsError: the endpoint or the secret is not set.
        """
        if not self.token_url or self.client_secret is None:
            field = "client_secret" if self.token_url else "token_url"
            raise self.missing(field, "other services are called with a token")
        return ClientCredentials(
            self.token_url, self.client_id, self.client_secret.get_secret_value(), clock, trust=trust
        )


def settings_of(service: str) -> SettingsConfigDict:
    """A service's `model_config`: `settings_of("access-policy")` reads `FEEDGATE_ACCESS_POLICY_…`."""
    return SettingsConfigDict(env_prefix=f"FEEDGATE_{service.replace('-', '_').upper()}_")


def load_settings(kind: type[S]) -> S:
    """The settings as this process's environment has them.

    Raises:
        SettingsError: one or more are unknown or not allowed.
    """
    unknown = _unknown(kind, os.environ)
    if unknown:
        raise SettingsError("\n".join(unknown))
    secrets = os.environ.get(SECRETS_DIR_VARIABLE)
    if secrets is not None and not Path(secrets).is_dir():
        raise SettingsError(
            f"{SECRETS_DIR_VARIABLE}: `{secrets}` is not a directory; allowed: one of files named like settings"
        )
    try:
        return kind(_secrets_dir=secrets)
    except (ValidationError, PydanticSettingsError) as error:
        raise SettingsError(_lines(kind, error)) from None


def _unknown(kind: type[ServiceSettings], environment: Mapping[str, str]) -> list[str]:
    """A line per variable that has the service's prefix and is no setting: a typo would else be a default."""
    prefix = kind.setting_name("")
    known = {kind.setting_name(field).removeprefix(prefix): field for field in kind.model_fields}
    lines = []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(prefix)
        if variable.upper().startswith(prefix) and name not in known:
            # Without the prefix, which all have in common and which would make everything alike.
            near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
            settings = ", ".join(sorted(prefix + other for other in known))
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; allowed: {settings}"
            lines.append(f"{variable} is no setting of this service{hint}")
    return lines


def _lines(kind: type[ServiceSettings], error: ValidationError | PydanticSettingsError) -> str:
    if isinstance(error, PydanticSettingsError):
        # pydantic-settings says only in words which field it could not parse.
        for field in kind.model_fields:
            if f'"{field}"' in str(error):
                return (
                    f"{kind.setting_name(field)}: what was seen is not JSON; allowed: a JSON list or object"
                )
        return " ".join(str(error).split())
    return "\n".join(_line(kind, entry) for entry in error.errors(include_url=False))


def _line(kind: type[ServiceSettings], entry: ErrorDetails) -> str:
    field = str(entry["loc"][0]) if entry["loc"] else ""
    variable = kind.setting_name(field)
    if entry["type"] == "missing":
        return str(kind.missing(field, "it has no default"))
    allowed = entry["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{variable}: saw `{_shown(kind, field, entry)}`; allowed: {allowed}"


def _shown(kind: type[ServiceSettings], field: str, entry: ErrorDetails) -> str:
    """The value as seen, hidden where it is or may hold a secret."""
    seen = str(entry["input"])
    info = kind.model_fields.get(field)
    secret = info is None or "Secret" in str(info.annotation) or is_secret_name(field)
    if secret or "@" in seen:
        return HIDDEN
    return seen if len(seen) <= MAXIMUM_SHOWN_CHARS else seen[:MAXIMUM_SHOWN_CHARS] + HIDDEN
