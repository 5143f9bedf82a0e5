"""Belief in a bearer token, or a named reason not to."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import jwt

from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.issuers import IssuerConfig, refuse_repeated
from feedgate_kit.identity.key_sets import FetchedKeys, JwksFetcher, KeySet, StaticKeys
from feedgate_kit.identity.principal import Principal, granted_roles
from feedgate_kit.trust import Trust

LEEWAY_S: Final = 5
"""What the issuer's clock may differ from ours."""
MAXIMUM_TOKEN_CHARS: Final = 16 * 1024
MAXIMUM_NAME_CHARS: Final = 255  # `sub` is at most 255 ASCII characters (OIDC Core §2)

TokenCode = Literal[
    "token-missing",
    "token-malformed",
    "token-expired",
    "token-not-yet-valid",
    "issuer-unknown",
    "audience-wrong",
    "signature-wrong",
]


class TokenError(FeedgateError):
    """A token that is not believed. The message never holds the token or any part of it."""

    def __init__(self, code: TokenCode, message: str) -> None:
        super().__init__(message)
        self.code: TokenCode = code


class TokenVerifier:
    """Verifies access tokens of the configured issuers (RFC 9068 §4, RFC 8725).

    The token's issuer selects exactly one configured issuer; that one's keys,
    algorithms, audience and realm are then the only ones that count.
    """

    def __init__(
        self,
        issuers: Iterable[IssuerConfig],
        clock: Clock,
        *,
        trust: Trust | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Fetches nothing until the first token.

        Args:
            issuers: whom to believe, and about what.
            clock: judges `exp` and the age of fetched keys.
            trust: whose certificates count where keys are fetched; the system's authorities by default.
            transport: how to reach issuers, where not over the network.

        Raises:
            IssuersError: two entries name one issuer.
        """
        self._clock = clock
        self._issuers: dict[str, tuple[IssuerConfig, KeySet]] = {}
        self._fetched: list[FetchedKeys] = []
        for config in refuse_repeated(list(issuers)):
            keys: KeySet
            if config.jwks is not None:
                keys = StaticKeys(config.jwks)
            else:
                keys = fetched = FetchedKeys(config.issuer, JwksFetcher(config, trust, transport), clock)
                self._fetched.append(fetched)
            self._issuers[config.issuer] = (config, keys)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give up fetches under way."""
        for keys in self._fetched:
            await keys.aclose()

    async def verify(self, token: str) -> Principal:
        """The bearer `token` vouches for.

        Raises:
            TokenError: the token is not believed; its code says why.
            IssuerUnavailableError: the issuer's keys cannot be had, so nothing can be said.
        """
        header, issuer = _peek(token)
        if issuer not in self._issuers:
            raise TokenError("issuer-unknown", "the token is from an issuer that is not configured here")
        config, keys = self._issuers[issuer]
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in config.algorithms:
            raise TokenError(
                "signature-wrong",
                "the token's algorithm is not one its issuer may use;"
                f" allowed: {', '.join(sorted(config.algorithms))}",
            )
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise TokenError("token-malformed", "the token's `kid` is not text")
        key = await keys.find(kid, algorithm)
        if key is None:
            raise TokenError("signature-wrong", "the token is signed with a key its issuer does not have")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                # Times and audience are judged below, by the clock that was handed in.
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                },
            )
        except jwt.InvalidSignatureError:
            raise TokenError("signature-wrong", "the token's signature does not verify") from None
        except jwt.InvalidAlgorithmError:
            raise TokenError("signature-wrong", "the token's key does not fit its algorithm") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenError("token-malformed", "the token is not a JSON Web Token as expected") from None
        return self._principal(config, claims)

    def _principal(self, config: IssuerConfig, claims: Mapping[str, Any]) -> Principal:
        issued_at_s = _time(claims, "iat")
        expires_at_s = _time(claims, "exp")
        now_s = self._clock.now_us() / MICROSECONDS
        if now_s >= expires_at_s + LEEWAY_S:
            raise TokenError("token-expired", "the token has expired")
        begins_at_s = max(issued_at_s, _time(claims, "nbf") if "nbf" in claims else issued_at_s)
        if now_s < begins_at_s - LEEWAY_S:
            raise TokenError("token-not-yet-valid", "the token is from the future by this service's clock")
        if config.audience not in _audiences(claims):
            raise TokenError("audience-wrong", f"the token is not for the audience `{config.audience}`")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAXIMUM_NAME_CHARS or "\0" in subject:
            raise TokenError("token-malformed", "the token's `sub` is not text of 1 to 255 characters")
        acr = claims.get("acr")
        return Principal(
            issuer=config.issuer,
            subject=subject,
            realm=config.realm,
            agency=config.agency,
            roles=granted_roles(config.realm, _roles(claims, config.roles_claim)),
            acr=acr if isinstance(acr, str) else None,
            expires_at=int(expires_at_s * MICROSECONDS),
        )


def _peek(token: str) -> tuple[Mapping[str, Any], str]:
    """Header and issuer as the token claims them, not yet believed."""
    if len(token) > MAXIMUM_TOKEN_CHARS:
        raise TokenError("token-malformed", "the token is longer than 16 KiB")
    try:
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenError("token-malformed", "the token is not a JSON Web Token") from None
    issuer = unverified["payload"].get("iss")
    if not isinstance(issuer, str):
        raise TokenError("token-malformed", "the token names no issuer")
    header: Mapping[str, Any] = unverified["header"]
    return header, issuer


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # Ten digits of seconds last until the year 2286; NaN and infinity fail the comparison.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**10:
        raise TokenError("token-malformed", f"the token's `{name}` is missing or not a time")
    return float(value)


def _audiences(claims: Mapping[str, Any]) -> Sequence[str]:
    value = claims.get("aud")
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    raise TokenError("token-malformed", "the token's `aud` is missing or neither text nor a list of texts")


def _roles(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The roles at `path`, where a claim whose name holds the dots itself comes first."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        value = value.split()
    return (
        frozenset(role for role in value if isinstance(role, str)) if isinstance(value, list) else frozenset()
    )
