"""The people and accounts of the demo, with secrets made at start."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from feedgate_kit.identity import REALM_ROLES

AUTHENTICATED_STRONGLY = "phrh"
"""`acr` of a phishing-resistant login with a key in hardware (OIDC EAP ACR Values §2)."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody an issuer vouches for."""

    name: str  # also the subject, so it is the same after a restart
    realm_path: str  # last segment of its issuer
    roles: frozenset[str]
    acr: str | None
    is_client: bool  # asks with the client credentials grant, else with the password grant
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def demo_accounts(agency: str, other_agency: str) -> tuple[Account, ...]:
    """Everybody of the demo's story, and those who must be refused in it."""
    ours, theirs = f"agency-{agency}", f"agency-{other_agency}"
    return (
        _person("owner", "owners"),
        _person("second-owner", "owners"),
        _person("operator", ours, "operator"),
        _person("second-operator", ours, "operator"),
        _person("supervisor", ours, "supervisor"),
        _client("agency-system", ours, ["system"]),
        _person("other-operator", theirs, "operator"),
        _person("other-supervisor", theirs, "supervisor"),
        _client("other-agency-system", theirs, ["system"]),
        *(_client(service, "services", [service]) for service in sorted(REALM_ROLES["services"])),
    )


def _person(name: str, realm_path: str, *roles: str) -> Account:
    return Account(name, realm_path, frozenset(roles), AUTHENTICATED_STRONGLY, is_client=False)


def _client(name: str, realm_path: str, roles: Iterable[str]) -> Account:
    return Account(name, realm_path, frozenset(roles), None, is_client=True)
