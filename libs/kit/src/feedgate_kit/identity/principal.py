"""Who asks: a person or service as its issuer vouched for it, and what its realm may hold."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final, Literal

Realm = Literal["owners", "agency", "oversight", "services"]

REALM_ROLES: Final[dict[Realm, frozenset[str]]] = {
    "owners": frozenset({"owner"}),
    "agency": frozenset({"operator", "supervisor", "system"}),
    "oversight": frozenset({"auditor"}),
    "services": frozenset({"registry", "access-policy", "ingest", "relay", "audit"}),
}
"""Every role there is, under the one realm that may give it. No role is in two realms."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a verified token."""

    issuer: str
    subject: str
    realm: Realm
    agency: str | None  # set in the realm `agency` only
    roles: frozenset[str]  # already cut to what the realm may hold
    acr: str | None  # how strongly the login was authenticated, in the issuer's words (OIDC Core §2)
    expires_at: int  # microseconds since the Unix epoch, UTC


def granted_roles(realm: Realm, claimed: frozenset[str]) -> frozenset[str]:
    """The claimed roles that `realm` may give.

    Everybody the owners' realm vouches for is an owner: an owner's account is
    made at the first call, so there is nobody who could have given the role.
    """
    if realm == "owners":
        return REALM_ROLES["owners"]
    return claimed & REALM_ROLES[realm]


def owner_key(secret: bytes, issuer: str, subject: str) -> str:
    """The owner as other services see them: HMAC-SHA256 of issuer and subject, 64 hex digits."""
    return _keyed_hash(secret, "owner", issuer, subject)


def operator_pseudonym(secret: bytes, issuer: str, subject: str) -> str:
    """The operator as owners see them: `op-` and 16 hex digits."""
    return "op-" + _keyed_hash(secret, "operator", issuer, subject)[:16]


def _keyed_hash(secret: bytes, kind: str, issuer: str, subject: str) -> str:
    # Each part carries its length, so no two pairs make the same bytes. `kind`
    # keeps an owner's key from ever being an operator's pseudonym.
    message = b"".join(
        len(part).to_bytes(4, "big") + part for part in (kind.encode(), issuer.encode(), subject.encode())
    )
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
