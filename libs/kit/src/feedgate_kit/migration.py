"""Alembic, run from the service's own package: `<package>/migrations`."""

from collections.abc import Sequence
from typing import Any, Literal

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, text

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError

Schema = Literal["older", "current", "newer"]


class NewerSchemaError(FeedgateError):
    """The database is at a revision this version does not know; nothing in it was changed."""


def _config(package: str) -> Config:
    # `package:folder` is how Alembic names a folder inside an installed package.
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    return config


async def migrate(database: Database, package: str) -> None:
    """Bring the database to the newest revision that `package` holds, in one transaction.

    Raises:
        NewerSchemaError: it is beyond that.
    """
    await refuse_newer(database, package)

    def upgrade(connection: Connection) -> None:
        config = _config(package)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.begin() as connection:
        await connection.run_sync(upgrade)


async def schema_of(database: Database, package: str) -> Schema:
    """How the database stands to the newest revision that `package` holds; a revision it lacks is a newer one."""
    seen, scripts = await _revision(database), ScriptDirectory.from_config(_config(package))
    if seen == scripts.get_current_head():
        return "current"
    try:
        scripts.get_revision(seen or "base")
    except CommandError:
        return "newer"
    return "older"


async def refuse_newer(database: Database, package: str) -> None:
    """Leave a database alone that a later version has migrated.

    Raises:
        NewerSchemaError: says which revision was seen, and which is the newest here.
    """
    if await schema_of(database, package) == "newer":
        head = ScriptDirectory.from_config(_config(package)).get_current_head()
        raise NewerSchemaError(
            f"the database is at revision `{await _revision(database)}`, which {package} does not know; allowed:"
            f" at most `{head}`. Start the version that migrated it, or restore the database from before"
            " (docs/guide/services.md)"
        )


async def _revision(database: Database) -> str | None:
    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.read() as connection:
        return await connection.run_sync(revision)


async def grant_running_rights(database: Database, role: str, rights: Sequence[str]) -> None:
    """Let a service's running role do what it needs with every table of its database, and nothing more.

    Args:
        database: PostgreSQL, as the role that owns the tables.
        role: who the service connects as; it keeps no right it had before.
        rights: table privileges, `SELECT`, `INSERT` and so on.
    """
    async with database.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote(role)
        allowed = ", ".join(rights)
        for statement in (
            f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}",
            f"GRANT USAGE ON SCHEMA public TO {quoted}",
            f"GRANT {allowed} ON ALL TABLES IN SCHEMA public TO {quoted}",
            f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {quoted}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}",
        ):
            await connection.execute(text(statement))


def run_migrations(metadata: MetaData) -> None:
    """What a service's `migrations/env.py` calls.

    With a connection from `migrate` it migrates; without one (`alembic revision
    --autogenerate`) it refuses, because revisions are written by hand here.
    """
    connection: Any = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit("run migrations with `feedgate migrate SERVICE`")
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()
