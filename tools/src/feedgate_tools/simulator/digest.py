"""Digest authentication as cameras do it: MD5, no qop (RFC 2617 §3.2; RFC 2326 §14)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DigestChallenge:
    """What a connection must answer to prove that it knows the password."""

    credentials: Credentials
    realm: str = "camera simulator"
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))

    def header(self) -> str:
        """Return the value of WWW-Authenticate, RFC 2617 §3.2.1."""
        return f'Digest realm="{self.realm}", nonce="{self.nonce}", algorithm=MD5'

    def is_met(self, authorization: str | None, method: str) -> bool:
        """Return whether the Authorization header of a `method` request answers this challenge."""
        if authorization is None or not authorization.startswith("Digest "):
            return False
        given = {name: quoted or bare for name, quoted, bare in _PARAMETER.findall(authorization)}
        expected = digest_response(self.credentials, self.realm, self.nonce, method, given.get("uri", ""))
        return (
            given.get("username") == self.credentials.user
            and given.get("nonce") == self.nonce
            and hmac.compare_digest(given.get("response", "").encode(), expected.encode())
        )


def digest_response(credentials: Credentials, realm: str, nonce: str, method: str, uri: str) -> str:
    """Return request-digest without qop, RFC 2617 §3.2.2.1."""
    secret = _md5(f"{credentials.user}:{realm}:{credentials.password}")
    return _md5(f"{secret}:{nonce}:{_md5(f'{method}:{uri}')}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
