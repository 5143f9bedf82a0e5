"""Who stands behind a pseudonym, as rows. Works in the caller's transaction."""

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.tables import PEOPLE
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import Principal


class PseudonymTakenError(FeedgateError):
    """Two people have one pseudonym; nobody may act under it."""


async def remember(connection: AsyncConnection, pseudonym: str, person: Principal, now_us: int) -> None:
    """Keep who is meant by a pseudonym, before it is written anywhere else.

    Raises:
        PseudonymTakenError: it means somebody else. Nothing was written.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "pseudonym": pseudonym,
        "issuer": person.issuer,
        "subject": person.subject,
        "agency": person.agency or "",
        "first_seen_at_us": now_us,
    }
    await connection.execute(dialect.insert(PEOPLE).values(row).on_conflict_do_nothing())
    known = (
        await connection.execute(
            select(PEOPLE.c.issuer, PEOPLE.c.subject).where(PEOPLE.c.pseudonym == pseudonym)
        )
    ).one()
    if (known.issuer, known.subject) != (person.issuer, person.subject):
        raise PseudonymTakenError("two people have one pseudonym; the pseudonym key must be changed")
