"""Where a caller's own access tokens come from."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Self

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.issuers import IssuerConfig
from feedgate_kit.identity.plain_http import is_loopback
from feedgate_kit.identity.principal import Realm
from feedgate_kit.ids import new_id
from feedgate_kit.trust import Trust, system_trust

TokenSource = Callable[[], Awaitable[str]]
"""Gives an access token that is valid now; may be asked for every request."""

RENEW_BEFORE_S: Final = 10.0
"""How long before its end a kept token is replaced: a request's journey and two clocks' difference."""
AHEAD_WITHIN_S: Final = 1.0
"""An issuer that is asked for the next token while the one there is lasts has this long to answer."""
ASK_AGAIN_S: Final = 2.0
"""Then it is left alone for so long, if the token lasts until after that."""


class TokenUnavailableError(FeedgateError):
    """The issuer gave no token. The message never holds a secret."""

    retriable = True


class _SilentIssuerError(TokenUnavailableError):
    """It could not be reached, or could not answer; it refused nothing."""


class TokenEndpoint:
    """An issuer's token endpoint as one client uses it; each token is kept until shortly before its end."""

    def __init__(
        self,
        token_url: str,
        form: Mapping[str, str],
        clock: Clock,
        *,
        trust: Trust | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        """Asks for nothing yet.

        Args:
            token_url: where tokens are given.
            form: the grant, with its secret.
            clock: only its monotonic time is used.
            trust: whose certificates count; the system's authorities by default.
            transport: how to reach the issuer, where not over the network.
            timeout_s: how long it may take to answer.
        """
        self._token_url = token_url
        self._form = dict(form)
        self._clock = clock
        self._trust = trust or system_trust()
        self._transport = transport
        self._timeout_s = timeout_s
        self._token = ""
        self._renew_at_s = float("-inf")
        self._ends_at_s = float("-inf")
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        """A token that is valid now.

        Raises:
            TokenUnavailableError: the issuer refused or gave no usable answer.
        """
        async with self._lock:
            asked_at_s = self._clock.monotonic_s()
            if asked_at_s >= self._renew_at_s:
                await self._renew(asked_at_s)
            return self._token

    async def _renew(self, asked_at_s: float) -> None:
        lasts = asked_at_s + AHEAD_WITHIN_S + ASK_AGAIN_S < self._ends_at_s
        try:
            self._token, lifetime_s = await self._ask(AHEAD_WITHIN_S if lasts else self._timeout_s)
        except _SilentIssuerError:
            if not lasts:
                raise
            self._renew_at_s = self._clock.monotonic_s() + ASK_AGAIN_S
            return
        self._ends_at_s = asked_at_s + lifetime_s
        # A token shorter than the margin is used once and asked for again.
        self._renew_at_s = asked_at_s + max(0.0, lifetime_s - RENEW_BEFORE_S)

    async def _ask(self, within_s: float) -> tuple[str, float]:
        through_proxy = not is_loopback(httpx.URL(self._token_url).host)
        try:
            async with httpx.AsyncClient(
                verify=self._trust,
                transport=self._transport,
                timeout=within_s,
                trust_env=through_proxy,
            ) as client:
                response = await client.post(
                    self._token_url, data=self._form, headers={"accept": "application/json"}
                )
            answer = response.json()
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise _SilentIssuerError(
                f"`{self._token_url}` gave no usable answer ({type(error).__name__})"
            ) from None
        if response.status_code != httpx.codes.OK or not isinstance(answer, dict):
            fault = answer.get("error") if isinstance(answer, dict) else None
            raise (_SilentIssuerError if response.is_server_error else TokenUnavailableError)(
                f"`{self._token_url}` answered {response.status_code}"
                + (f" `{fault[:64]}`" if isinstance(fault, str) else "")
            )
        token, lifetime_s = answer.get("access_token"), answer.get("expires_in", 0)
        if not isinstance(token, str) or not isinstance(lifetime_s, int | float):
            raise TokenUnavailableError(f"`{self._token_url}` answered without an access token")
        return token, float(lifetime_s)


class ClientCredentials(TokenEndpoint):
    """Tokens of a service or system account (RFC 6749 §4.4)."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        clock: Clock,
        *,
        trust: Trust | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(
            token_url,
            {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret},
            clock,
            trust=trust,
            transport=transport,
        )


class LocalIssuer:
    """An issuer inside this process: its key never leaves it, and its verifiers are handed the public half.

    For services that share one process and so need no issuer between them.
    """

    algorithm: Final = "EdDSA"

    def __init__(
        self,
        private_key: Ed25519PrivateKey,
        issuer: str,
        clock: Clock,
        *,
        realm: Realm = "services",
        agency: str | None = None,
        audience: str = "feedgate",
        lifetime_s: int = 300,
    ) -> None:
        self.issuer = issuer
        self.realm: Realm = realm
        self.agency = agency
        self.audience = audience
        self.lifetime_s = lifetime_s
        self.kid = new_id()
        self._private_key = private_key
        self._clock = clock

    @classmethod
    def generate(
        cls,
        issuer: str,
        clock: Clock,
        *,
        realm: Realm = "services",
        agency: str | None = None,
        audience: str = "feedgate",
        lifetime_s: int = 300,
    ) -> Self:
        """An issuer with a new key."""
        return cls(
            Ed25519PrivateKey.generate(),
            issuer,
            clock,
            realm=realm,
            agency=agency,
            audience=audience,
            lifetime_s=lifetime_s,
        )

    @property
    def jwks(self) -> dict[str, Any]:
        """Its public key as a JWK Set (RFC 7517 §5)."""
        public: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(
            self._private_key.public_key(), as_dict=True
        )
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}]}

    def config(self) -> IssuerConfig:
        """What a verifier needs to believe its tokens."""
        return IssuerConfig(
            issuer=self.issuer,
            realm=self.realm,
            agency=self.agency,
            audience=self.audience,
            algorithms=frozenset({self.algorithm}),
            jwks=self.jwks,
        )

    def mint(
        self,
        subject: str,
        roles: Iterable[str],
        /,
        *,
        acr: str | None = None,
        lifetime_s: int | None = None,
        **claims: Any,
    ) -> str:
        """A signed access token; `claims` add to or replace what it would say."""
        now_s = self._clock.now_us() // MICROSECONDS
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.audience,
            "iat": now_s,
            "exp": now_s + (self.lifetime_s if lifetime_s is None else lifetime_s),
            "jti": new_id(),
            "realm_access": {"roles": sorted(roles)},
        }
        if acr is not None:
            payload["acr"] = acr
        return jwt.encode(
            payload | claims, self._private_key, algorithm=self.algorithm, headers={"kid": self.kid}
        )

    def token_source(self, subject: str, roles: Iterable[str]) -> TokenSource:
        """Tokens for one service; each call signs a new one."""
        fixed = tuple(roles)

        async def token() -> str:
            return self.mint(subject, fixed)

        return token
