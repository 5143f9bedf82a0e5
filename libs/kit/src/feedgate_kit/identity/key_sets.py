"""The public keys of an issuer, held or fetched."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.issuers import IssuerConfig
from feedgate_kit.identity.plain_http import is_loopback
from feedgate_kit.trust import Trust, system_trust

MINIMUM_RSA_BITS: Final = 2048  # RFC 7518 §3.3
MAXIMUM_DOCUMENT_BYTES: Final = 256 * 1024
FETCH_TIMEOUT_S: Final = 3.0

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
Fetch = Callable[[], Awaitable[Mapping[str, Any]]]

_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

logger = structlog.get_logger(__name__)


class IssuerUnavailableError(FeedgateError):
    """An issuer's keys cannot be had now, so its tokens can be neither believed nor refused."""

    retriable = True


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key of a key set, fit to verify a signature."""

    kid: str | None
    family: str  # `kty` of RFC 7518 §6.1
    algorithm: str | None  # the only one it may be used with, where its issuer says so
    public_key: PublicKey


class KeySet(Protocol):
    """The keys an issuer signs with now."""

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key `kid` if it may verify `algorithm`; without `kid` the only one that may.

        Raises:
            IssuerUnavailableError: the keys could not be had.
        """
        ...


def read_keys(document: Mapping[str, Any]) -> tuple[VerificationKey, ...]:
    """The usable signature keys of a JWK Set (RFC 7517 §5); what is not one is left out.

    Left out are symmetric keys, keys for encryption, RSA keys under 2048 bits
    and what does not parse.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        return ()
    keys = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in {"RSA", "EC", "OKP"}:
            continue
        if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
            continue
        try:
            public_key = _public_key(entry)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if public_key is None:
            continue
        kid = entry.get("kid")
        algorithm = entry.get("alg")
        keys.append(
            VerificationKey(
                kid=kid if isinstance(kid, str) else None,
                family=entry["kty"],
                algorithm=algorithm if isinstance(algorithm, str) else None,
                public_key=public_key,
            )
        )
    return tuple(keys)


def find_key(keys: Sequence[VerificationKey], kid: str | None, algorithm: str) -> PublicKey | None:
    """The key that may verify a signature of `algorithm` under the name `kid`, if exactly one may."""
    family = _FAMILIES.get(algorithm[:2])
    fit = [
        key.public_key
        for key in keys
        if key.family == family and key.algorithm in {None, algorithm} and (kid is None or key.kid == kid)
    ]
    return fit[0] if len(fit) == 1 else None


class StaticKeys:
    """Keys that were handed in and never change."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._keys = read_keys(document)

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        return find_key(self._keys, kid, algorithm)


class FetchedKeys:
    """Keys fetched from the issuer, kept, and fetched again when they may have changed.

    While the issuer is down its last keys serve on, for at most `keep_s`:
    after that a key it may have revoked long ago would still be believed.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        clock: Clock,
        *,
        refresh_s: float = 300.0,
        refetch_s: float = 5.0,
        keep_s: float = 3600.0,
    ) -> None:
        """Fetches nothing yet.

        Args:
            issuer: for messages.
            fetch: the JWK Set as the issuer has it now.
            clock: only its monotonic time is used.
            refresh_s: keys older than this are fetched again behind the requests they serve.
            refetch_s: the least time between two fetches, so unknown `kid`s cannot make us flood the issuer.
            keep_s: keys older than this serve nobody.
        """
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._refresh_s = refresh_s
        self._refetch_s = refetch_s
        self._keep_s = keep_s
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at_s: float | None = None
        self._tried_at_s: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        key = None
        if self._age_s() < self._keep_s:
            key = find_key(self._keys, kid, algorithm)
            if key is not None:
                if self._age_s() >= self._refresh_s:
                    self._start_fetching()
                return key
        fetching = self._start_fetching()
        if fetching is not None:
            # Shielded: the caller may go away, the others who wait may not be let down.
            await asyncio.shield(fetching)
        if self._age_s() >= self._keep_s:
            raise IssuerUnavailableError(f"the keys of issuer `{self._issuer}` cannot be had now")
        return find_key(self._keys, kid, algorithm)

    async def aclose(self) -> None:
        """Give up a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            with suppress(asyncio.CancelledError):
                await self._fetching

    def _age_s(self) -> float:
        return float("inf") if self._fetched_at_s is None else self._clock.monotonic_s() - self._fetched_at_s

    def _start_fetching(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None where it is too early for another."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now_s = self._clock.monotonic_s()
        if self._tried_at_s is not None and now_s - self._tried_at_s < self._refetch_s:
            return None
        self._tried_at_s = now_s
        self._fetching = asyncio.create_task(self._refresh(), name=f"keys of {self._issuer}")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            keys = read_keys(await self._fetch())
        except IssuerUnavailableError as error:
            logger.warning("issuer unavailable", issuer=self._issuer, cause=str(error))
            return
        if not keys:
            logger.warning("issuer has no usable key", issuer=self._issuer)
            return
        self._keys = keys
        self._fetched_at_s = self._clock.monotonic_s()


class JwksFetcher:
    """Fetches an issuer's JWK Set, by discovery where no address is configured (OIDC Discovery §4)."""

    def __init__(
        self,
        config: IssuerConfig,
        trust: Trust | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._trust = trust or system_trust()
        self._transport = transport

    async def __call__(self) -> Mapping[str, Any]:
        """The JWK Set.

        Raises:
            IssuerUnavailableError: no answer, or not one that can be believed.
        """
        jwks_uri = self._config.jwks_uri or await self._discover()
        return await self._get(jwks_uri)

    async def _discover(self) -> str:
        issuer = self._config.issuer
        document = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:  # OIDC Discovery §4.3
            raise IssuerUnavailableError("its discovery document names another issuer")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise IssuerUnavailableError("its discovery document has no `jwks_uri`")
        parts = urlsplit(jwks_uri)
        plain = parts.scheme == "http" and is_loopback(parts.hostname or "") and issuer.startswith("http:")
        if parts.scheme != "https" and not plain:
            raise IssuerUnavailableError("its `jwks_uri` is not https")
        return jwks_uri

    async def _get(self, url: str) -> Mapping[str, Any]:
        # A proxy of the environment is for the world outside, never for loopback.
        through_proxy = not is_loopback(urlsplit(url).hostname or "")
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                httpx.AsyncClient(
                    verify=self._trust,
                    transport=self._transport,
                    timeout=FETCH_TIMEOUT_S,
                    trust_env=through_proxy,
                ) as client,
                client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise IssuerUnavailableError(f"`{url}` answered {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAXIMUM_DOCUMENT_BYTES:
                        raise IssuerUnavailableError(f"`{url}` answered more than 256 KiB")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise IssuerUnavailableError(f"`{url}` gave no answer ({type(error).__name__})") from error
        return _object(bytes(body), url)


def _object(body: bytes, url: str) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise IssuerUnavailableError(f"`{url}` did not answer JSON") from error
    if not isinstance(document, dict):
        raise IssuerUnavailableError(f"`{url}` did not answer a JSON object")
    return document


def _public_key(entry: Mapping[str, Any]) -> PublicKey | None:
    # Only public members are read, so a private key published by mistake is no signing key here.
    public = {name: value for name, value in entry.items() if name in {"kty", "n", "e", "crv", "x", "y"}}
    algorithm = {"RSA": "RS256", "OKP": "EdDSA"}.get(public["kty"]) or {
        "P-256": "ES256", "P-384": "ES384", "P-521": "ES512",
    }.get(str(public.get("crv")))  # fmt: skip
    if algorithm is None:
        return None
    key = jwt.PyJWK.from_dict(public, algorithm=algorithm).key
    if isinstance(key, rsa.RSAPublicKey):
        return key if key.key_size >= MINIMUM_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key
    return None
