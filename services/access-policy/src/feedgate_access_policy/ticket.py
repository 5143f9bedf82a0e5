"""The one key to a view: a signed ticket, good for one connection within a minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
)
from jwt.utils import base64url_encode

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.errors import OperatorError
from feedgate_kit.followed import Followed
from feedgate_kit.pem import pem_blocks

ISSUER: Final = "feedgate-access-policy"
AUDIENCE: Final = "feedgate-relay"
CONNECT_WITHIN_S: Final = 60


class TicketKeyError(OperatorError):
    """A file holds no key that could sign tickets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Leave for one operator to open one view."""

    ticket_id: str
    operator: str  # pseudonym
    agency: str
    grant_id: str
    camera_id: str
    stream: str
    purpose: str
    issued_at_us: int
    view_until_us: int

    @property
    def expires_at_s(self) -> int:
        """When it is too late to connect, seconds since the Unix epoch."""
        return self.issued_at_us // MICROSECONDS + CONNECT_WITHIN_S

    def claims(self) -> dict[str, Any]:
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": self.ticket_id,
            "sub": self.operator,
            "agency": self.agency,
            "grant": self.grant_id,
            "camera": self.camera_id,
            "stream": self.stream,
            "purpose": self.purpose,
            "iat": self.issued_at_us // MICROSECONDS,
            "exp": self.expires_at_s,
            "issued_at_us": self.issued_at_us,
            "view_until_us": self.view_until_us,
        }


@dataclass(frozen=True, slots=True)
class TicketKey:
    """An Ed25519 key with the id that its tickets name (RFC 7638)."""

    private: Ed25519PrivateKey
    kid: str


class TicketKeys:
    """The key that signs, and others that relays should believe: the next one, or the last."""

    def __init__(self, keys: Sequence[Ed25519PrivateKey]) -> None:
        """The first one signs."""
        self._keys = [TicketKey(key, thumbprint(key)) for key in keys]

    def present(self) -> Sequence[TicketKey]:
        """As they are now, the one that signs first."""
        return self._keys

    def sign(self, ticket: Ticket) -> str:
        key = self.present()[0]
        return jwt.encode(ticket.claims(), key.private, algorithm="EdDSA", headers={"kid": key.kid})

    def jwks(self) -> dict[str, Any]:
        """The public halves, as a JWK Set (RFC 7517 5)."""
        return {
            "keys": [
                _public_jwk(key.private) | {"kid": key.kid, "use": "sig", "alg": "EdDSA"}
                for key in self.present()
            ]
        }


class TicketKeyFile(TicketKeys):
    """The keys in a file, whose changes are followed: a rotation needs no restart."""

    def __init__(self, file: Path) -> None:
        """Read it.

        Raises:
            TicketKeyError: it cannot be read, holds no key, or one that is no Ed25519 key.
        """
        self._followed = Followed(lambda: [TicketKey(key, thumbprint(key)) for key in _load(file)], [file])

    def present(self) -> Sequence[TicketKey]:
        return self._followed.current()


def _load(file: Path) -> list[Ed25519PrivateKey]:
    try:
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise TicketKeyError(f"ticket key `{file}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    blocks = pem_blocks(text)
    if not blocks:
        raise TicketKeyError(f"ticket key `{file}` holds no PEM private key")
    return [read_ticket_key(block, f"ticket key `{file}`") for block in blocks]


def read_ticket_key(pem: str, what: str) -> Ed25519PrivateKey:
    """A key that could sign tickets.

    Raises:
        TicketKeyError: it is none; says `what`.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TicketKeyError(f"{what} is no PEM private key without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TicketKeyError(f"{what} is of another kind; Ed25519 is needed")
    return key


def _public_jwk(key: Ed25519PrivateKey) -> dict[str, Any]:
    public: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return public


def thumbprint(key: Ed25519PrivateKey) -> str:
    """What tickets name it by: RFC 7638 3, with the members of an OKP key in order (RFC 8037 2)."""
    public = _public_jwk(key)
    hashed = Hash(SHA256())
    hashed.update(f'{{"crv":"{public["crv"]}","kty":"{public["kty"]}","x":"{public["x"]}"}}'.encode())
    return base64url_encode(hashed.finalize()).decode()
