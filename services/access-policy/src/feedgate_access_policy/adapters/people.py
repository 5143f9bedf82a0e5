"""Who stands behind a pseudonym, as rows. Works in the caller's transaction."""

import structlog
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.tables import PEOPLE
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import Principal

logger = structlog.get_logger(__name__)


class PseudonymTakenError(FeedgateError):
    """Two people have one pseudonym; nobody may act under it."""


class PseudonymChangedError(FeedgateError):
    """The person is on record under another pseudonym: as a second person they could approve their own request."""


async def remember(connection: AsyncConnection, pseudonym: str, person: Principal, now_us: int) -> None:
    """Keep who is meant by a pseudonym, before it is written anywhere else.

    Raises:
        PseudonymTakenError: it means somebody else. Nothing was written.
        PseudonymChangedError: the person has another one. The transaction must not be committed.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "pseudonym": pseudonym,
        "issuer": person.issuer,
        "subject": person.subject,
        "agency": person.agency or "",
        "first_seen_at_us": now_us,
    }
    entered = await connection.execute(
        dialect.insert(PEOPLE).values(row).on_conflict_do_nothing().returning(PEOPLE.c.pseudonym)
    )
    if entered.first() is not None:
        await _refuse_second(connection, pseudonym, person)
        return
    known = (
        await connection.execute(
            select(PEOPLE.c.issuer, PEOPLE.c.subject).where(PEOPLE.c.pseudonym == pseudonym)
        )
    ).one()
    if (known.issuer, known.subject) != (person.issuer, person.subject):
        raise PseudonymTakenError("two people have one pseudonym; the pseudonym key must be changed")


async def _refuse_second(connection: AsyncConnection, pseudonym: str, person: Principal) -> None:
    """Asked once in a person's life here, so no index is kept for it."""
    others = select(PEOPLE.c.pseudonym).where(
        PEOPLE.c.issuer == person.issuer,
        PEOPLE.c.subject == person.subject,
        PEOPLE.c.pseudonym != pseudonym,
    )
    if (await connection.execute(others.limit(1))).first() is None:
        return
    logger.error(
        "a person has another pseudonym than the one on record",
        cause="operator_pseudonym_key is not the one this database was filled under",
        agency=person.agency,
    )
    raise PseudonymChangedError(
        "you are on record under another pseudonym, so nothing was done; operations have to put the former"
        " operator_pseudonym_key back"
    )
