"""The databases of the services that keep one, and how they are brought to this version's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.migration import grant_running_rights, migrate

PACKAGES: Final = {
    "registry": "feedgate_registry",
    "access-policy": "feedgate_access_policy",
    "audit": "feedgate_audit",
}
"""The services that keep a database, and the packages that hold their migrations."""

ALL_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
RUNNING_RIGHTS: Final = {"audit": ("SELECT", "INSERT")}
"""What a service's running role may do with its tables: audit can neither change nor remove an entry."""


class ServiceDatabaseError(FeedgateError):
    """The database did not do what it was asked; nothing in it was changed."""


async def migrate_service(service: str, database_url: str, running_role: str | None = None) -> None:
    """Bring one service's database to this version's tables.

    Args:
        service: a key of `PACKAGES`.
        database_url: as the role that owns the tables.
        running_role: is given what the service needs, and loses what it had beyond that.

    Raises:
        ServiceDatabaseError: it cannot be reached, or refused.
    """
    with database_errors(f"{service}'s database cannot be migrated"):
        database = Database(database_url)
        try:
            if running_role is not None and database.dialect != "postgresql":
                raise ServiceDatabaseError("--running-role: only PostgreSQL has roles")
            await migrate(database, PACKAGES[service])
            if running_role is not None:
                await grant_running_rights(database, running_role, RUNNING_RIGHTS.get(service, ALL_RIGHTS))
        finally:
            await database.close()


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn what drivers raise into one line.

    Raises:
        ServiceDatabaseError: says `what`, and the driver's first line.
    """
    try:
        yield
    except (SQLAlchemyError, PostgresError, OSError) as error:
        # What was sent to the database stays out: its first line is the database's own words.
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        words = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise ServiceDatabaseError(f"{what}: {words}") from error
