"""The people of the agencies, under their pseudonyms."""

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import people
from feedgate_access_policy.question import Person
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
