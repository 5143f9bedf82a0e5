"""The issuers a service believes, each with the one realm it may speak for."""

from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from feedgate_kit.errors import ONE_BOX_PAGE, OperatorError
from feedgate_kit.identity.principal import Realm
from feedgate_kit.wrong_values import wrong_entry

ASYMMETRIC_ALGORITHMS: Final = frozenset({
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
})  # fmt: skip
"""RFC 7518 §3.1 and RFC 8037 without `none` and HS*, whose key every verifier would hold."""


class IssuersError(OperatorError):
    """The list of issuers cannot be used; no token would be believed."""

    page = ONE_BOX_PAGE


class IssuerConfig(BaseModel):
    """One OIDC issuer and what it is believed about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1)
    """The `iss` claim, compared letter by letter. Also where discovery starts if there are no keys here."""
    realm: Realm
    """The one realm it may speak for."""
    agency: str | None = None
    """The agency whose people it vouches for; needed in the realm `agency`, refused elsewhere."""
    audience: str = Field(default="feedgate", min_length=1)
    """What `aud` must hold, so that a token for another application is none for us."""
    algorithms: frozenset[str] = frozenset({"RS256", "ES256", "EdDSA"})
    """Signature algorithms it may use: asymmetric ones only."""
    jwks_uri: str | None = None
    """Where its keys are. Without it and `jwks`: as its discovery document says."""
    jwks: dict[str, Any] | None = None
    """Its keys themselves (RFC 7517), for an issuer without an address."""
    roles_claim: str = Field(default="realm_access.roles", min_length=1)
    """Path of the claim that lists roles, dots between levels. The default is Keycloak's."""

    @field_validator("algorithms")
    @classmethod
    def _only_asymmetric(cls, algorithms: frozenset[str]) -> frozenset[str]:
        if not algorithms or not algorithms <= ASYMMETRIC_ALGORITHMS:
            raise ValueError(f"one or more of {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}")
        return algorithms

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.agency is not None) != (self.realm == "agency"):
            raise ValueError("`agency` in the realm `agency`, and nowhere else")
        if self.jwks is not None and self.jwks_uri is not None:
            raise ValueError("either `jwks` or `jwks_uri`, not both")
        if self.jwks is None:
            for url in (self.issuer, *([self.jwks_uri] if self.jwks_uri else [])):
                parts = urlsplit(url)
                if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username is not None:
                    raise ValueError(
                        "`issuer` and `jwks_uri` that are http(s) addresses without user information"
                    )
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses that must not be plain http off this host; none if the keys are here."""
        if self.jwks is not None:
            return ()
        return (self.issuer,) if self.jwks_uri is None else (self.issuer, self.jwks_uri)


def load_issuers(path: Path) -> tuple[IssuerConfig, ...]:
    """The issuers in a YAML file that holds a list of them.

    Raises:
        IssuersError: the file cannot be read or an entry is not an issuer; names the file and the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise IssuersError(
            f"issuers file `{path}` cannot be read: {_one_line(error)}; allowed: a YAML list of issuers"
        ) from error
    if not isinstance(entries, list) or not entries:
        raise IssuersError(f"issuers file `{path}` holds none; allowed: a list of one or more issuers")
    issuers = []
    for number, entry in enumerate(entries, start=1):
        try:
            issuers.append(IssuerConfig.model_validate(entry))
        except ValidationError as error:
            wrong = wrong_entry(error, IssuerConfig.model_fields)
            raise IssuersError(f"issuers file `{path}`, entry {number}{wrong}") from error
        if "audience" not in entry:
            # Not left to a default: a realm that says no audience makes tokens that other applications take too.
            raise IssuersError(
                f"issuers file `{path}`, entry {number}: `audience` is missing; allowed: what the realm writes"
                " into `aud` of the tokens that are for Feedgate, by custom `feedgate`"
            )
    return refuse_repeated(issuers)


def refuse_repeated(issuers: list[IssuerConfig] | tuple[IssuerConfig, ...]) -> tuple[IssuerConfig, ...]:
    """The same issuers.

    Raises:
        IssuersError: two entries name one issuer, so its tokens would not say which realm they speak for.
    """
    seen: set[str] = set()
    for config in issuers:
        if config.issuer in seen:
            raise IssuersError(
                f"issuer `{config.issuer}` is named twice; allowed: once, for it may speak for one realm only"
            )
        seen.add(config.issuer)
    return tuple(issuers)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
