"""Answers to a camera's demand for credentials (RFC 7616, RFC 7617, as RFC 2326 §14 has them)."""

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from feedgate_ingest.reasons import FeedError, Reason

_CHALLENGE = re.compile(r"(?:^|,)\s*(Digest|Basic)\s+", re.IGNORECASE)
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES = {"md5": hashlib.md5, "sha-256": hashlib.sha256}
_STRENGTH = ("basic", "md5", "sha-256")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a camera offers."""

    scheme: str  # `basic` or `digest`
    parameters: Mapping[str, str]

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "MD5").lower().removesuffix("-sess")

    @property
    def strength(self) -> int:
        """Rank among the ways we know; -1 for one we cannot go."""
        if self.scheme == "basic":
            return 0
        offered = {part.strip().lower() for part in self.parameters.get("qop", "auth").split(",")}
        if self.algorithm not in _HASHES or "nonce" not in self.parameters or "auth" not in offered:
            return -1
        return _STRENGTH.index(self.algorithm)


def parse_challenges(headers: Iterable[str]) -> Iterator[Challenge]:
    """The challenges of a message's `WWW-Authenticate` headers, several in one included."""
    for header in headers:
        _, *parts = _CHALLENGE.split(header)
        for scheme, text in zip(parts[::2], parts[1::2], strict=True):
            yield Challenge(scheme.lower(), dict(_parameters(text)))


def authorization(
    headers: Iterable[str], username: str, password: str, *, method: str, uri: str, client_nonce: str = ""
) -> str:
    """The `Authorization` header that answers the strongest challenge.

    Args:
        headers: the `WWW-Authenticate` headers of the 401.
        username: of the source; empty where the owner gave none.
        password: likewise.
        method: of the request.
        uri: as in the request line.
        client_nonce: for tests; a random one if left out.

    Raises:
        FeedError: there are no credentials, or no challenge can be answered.
    """
    if not username and not password:
        raise FeedError(Reason.PASSWORD_NEEDED)
    challenge = max(parse_challenges(headers), key=lambda one: one.strength, default=None)
    if challenge is None or challenge.strength < 0:
        raise FeedError(Reason.UNSUPPORTED_AUTHENTICATION)
    if challenge.scheme == "basic":
        return "Basic " + b64encode(f"{username}:{password}".encode()).decode()
    return _digest(challenge, username, password, method, uri, client_nonce or secrets.token_hex(8))


def _digest(
    challenge: Challenge, username: str, password: str, method: str, uri: str, client_nonce: str
) -> str:
    given = challenge.parameters
    realm, nonce = given.get("realm", ""), given["nonce"]

    def hashed(*parts: str) -> str:
        # MD5 is what cameras speak; it guards against replay on their wire, nothing of ours.
        return _HASHES[challenge.algorithm](":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = hashed(username, realm, password)
    if given.get("algorithm", "").lower().endswith("-sess"):
        secret = hashed(secret, nonce, client_nonce)
    request = hashed(method, uri)
    quoted = {"username": username, "realm": realm, "nonce": nonce, "uri": uri}
    bare = {}
    if "algorithm" in given:
        bare["algorithm"] = given["algorithm"]
    if "qop" in given:
        quoted["response"] = hashed(secret, nonce, "00000001", client_nonce, "auth", request)
        quoted["cnonce"] = client_nonce
        bare |= {"qop": "auth", "nc": "00000001"}
    else:
        quoted["response"] = hashed(secret, nonce, request)
    if "opaque" in given:
        quoted["opaque"] = given["opaque"]
    parts = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    return "Digest " + ", ".join([*parts, *(f"{name}={value}" for name, value in bare.items())])


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for name, quoted, bare in _PARAMETER.findall(text):
        yield name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else bare


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
