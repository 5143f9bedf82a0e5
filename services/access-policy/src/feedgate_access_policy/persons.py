"""The people of the agencies, under their pseudonyms."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import people
from feedgate_access_policy.question import Login, Person
from feedgate_kit.agencies import Agency
from feedgate_kit.identity import Principal, operator_pseudonym


class Persons:
    """Gives every person one pseudonym, and keeps who is meant in this database only."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def known_as(self, principal: Principal) -> Person:
        """The person behind a token. Two roles of one issuer and subject are one person."""
        pseudonym = operator_pseudonym(self._secret, principal.issuer, principal.subject)
        return Person(pseudonym, principal.agency or "", principal.roles)

    async def enter(self, connection: AsyncConnection, principal: Principal, now_us: int) -> Person:
        """The person, whose pseudonym may now be written down."""
        person = self.known_as(principal)
        await people.remember(connection, person.pseudonym, principal, now_us)
        return person


def login_of(principal: Principal, agencies: Mapping[str, Agency]) -> Login:
    """How the bearer of a token signed in, held against what their agency's entry asks for."""
    agency = agencies.get(principal.agency or "")
    return Login(principal.acr or "", frozenset() if agency is None else frozenset(agency.acr))
