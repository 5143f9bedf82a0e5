"""The development issuer as a running server, on loopback only, with new keys and secrets at every start."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import IssuerConfig, Realm, is_loopback
from feedgate_kit.listening import Listen, address_of, open_listener
from feedgate_kit.server import Server, serving
from feedgate_kit.tokens import LocalIssuer, TokenEndpoint, TokenSource
from feedgate_tools.issuer.app import IssuingRealm, create_app
from feedgate_tools.issuer.persons import Account, demo_accounts


class NotLoopbackError(FeedgateError):
    """The development issuer was asked to listen where others could reach it; it did not start."""


@dataclass(frozen=True, slots=True)
class Person:
    """One of the demo's people or accounts, as their own software sees them."""

    account: Account
    issuer: str
    clock: Clock

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def grant(self) -> Mapping[str, str]:
        """The form to post to the token endpoint, with the secret."""
        if self.account.is_client:
            return {
                "grant_type": "client_credentials",
                "client_id": self.account.name,
                "client_secret": self.account.secret,
            }
        return {
            "grant_type": "password",
            "client_id": "feedgate-demo",
            "username": self.account.name,
            "password": self.account.secret,
        }

    def token_source(self) -> TokenSource:
        """Their access tokens, fetched from the issuer over HTTP and kept until shortly before their end."""
        return TokenEndpoint(self.token_url, self.grant, self.clock)


class DevelopmentIssuer:
    """One server, one issuer per realm: owners, two agencies, services."""

    def __init__(
        self,
        clock: Clock,
        *,
        agency: str = "metro-police",
        other_agency: str = "harbour-police",
        host: str = "127.0.0.1",
        port: int = 0,
        audience: str = "feedgate",
        lifetime_s: int = 300,
    ) -> None:
        """Listens once entered.

        Args:
            clock: times the tokens.
            agency: id of the story's agency.
            other_agency: id of one that must see nothing of the story.
            host: a loopback address.
            port: 0 takes any free one.
            audience: the tokens' `aud`.
            lifetime_s: of every token.

        Raises:
            NotLoopbackError: `host` can be reached from another machine.
            ValueError: both agencies are one.
        """
        if not is_loopback(host):
            raise NotLoopbackError(f"the development issuer listens on loopback only; saw `{host}`")
        if agency == other_agency:
            raise ValueError(f"`{agency}` cannot be both agencies")
        self._clock = clock
        self._agencies = (agency, other_agency)
        self._listen = Listen(host, port, "--host", "--port")
        self._audience = audience
        self._lifetime_s = lifetime_s
        self._realms: dict[str, IssuingRealm] = {}
        self._stack = AsyncExitStack()
        self.origin = ""
        """Where it is, once entered."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(open_listener(self._listen))
            address = address_of(listener)
            # A name like `localhost` was resolved meanwhile; what counts is where it led.
            if not is_loopback(address.host):
                raise NotLoopbackError(
                    f"`{self._listen.host}` leads to `{address.host}`, which is not loopback"
                )
            self.origin = address.origin
            self._realms = self._make_realms()
            await stack.enter_async_context(
                serving([Server(create_app(self._realms), "none", shutdown_s=1.0)], [listener])
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def issuers_config(self) -> list[IssuerConfig]:
        """What a service needs to believe its tokens: addresses, whose keys it fetches by discovery."""
        return [
            IssuerConfig(
                issuer=realm.issuer.issuer,
                realm=realm.issuer.realm,
                agency=realm.issuer.agency,
                audience=self._audience,
                algorithms=frozenset({realm.issuer.algorithm}),
            )
            for realm in self._realms.values()
        ]

    def agency_issuer(self, agency: str) -> str:
        """The issuer of an agency's people."""
        return self._realms[f"agency-{agency}"].issuer.issuer

    def persons(self) -> Mapping[str, Person]:
        """Everybody, by name."""
        return {
            account.name: Person(account, realm.issuer.issuer, self._clock)
            for realm in self._realms.values()
            for account in realm.accounts
        }

    def person(self, name: str) -> Person:
        """One of them.

        Raises:
            KeyError: there is nobody of that name.
        """
        return self.persons()[name]

    def _make_realms(self) -> dict[str, IssuingRealm]:
        accounts = demo_accounts(*self._agencies)
        realms = {"owners": self._issuer("owners", None), "services": self._issuer("services", None)}
        realms |= {f"agency-{agency}": self._issuer("agency", agency) for agency in self._agencies}
        return {
            path: IssuingRealm(issuer, [account for account in accounts if account.realm_path == path])
            for path, issuer in realms.items()
        }

    def _issuer(self, realm: Realm, agency: str | None) -> LocalIssuer:
        path = realm if agency is None else f"agency-{agency}"
        return LocalIssuer.generate(
            f"{self.origin}/realms/{path}",
            self._clock,
            realm=realm,
            agency=agency,
            audience=self._audience,
            lifetime_s=self._lifetime_s,
        )
