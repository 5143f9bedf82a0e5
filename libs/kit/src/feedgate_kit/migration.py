"""Alembic, run from the service's own package: `<package>/migrations`.

Each revision says in `oldest` from which revision on a service's code can run on its tables. `migrate` writes that
into the database, for the older code cannot know the newer revision: so old and new run side by side, and one that
was restarted meanwhile starts again. A revision that only adds (expand) leaves `oldest` where it was; one that takes
away what nobody uses any more (contract) raises it.
"""

from collections.abc import Sequence
from typing import Any, Literal

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, inspect, select, text

from feedgate_kit.database import Database
from feedgate_kit.errors import SERVICES_PAGE, OperatorError

Schema = Literal["older", "current", "expanded", "newer"]
"""`expanded` is newer, too, and says that this version can run on it."""

_REVISION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Alembic's own. Not asked through Alembic, which makes a new `Table` for each question: SQLAlchemy would keep each as
another statement."""

_COMPATIBILITY = Table(
    "schema_compatibility", MetaData(), Column("oldest_revision", String(32), primary_key=True)
)


class NewerSchemaError(OperatorError):
    """The database is at a revision this version does not know; nothing in it was changed."""

    page = SERVICES_PAGE


def _config(package: str) -> Config:
    # `package:folder` is how Alembic names a folder inside an installed package.
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    return config


async def migrate(database: Database, package: str) -> None:
    """Bring the database to the newest revision that `package` holds, in one transaction.

    One that a later version has expanded is left as it is.

    Raises:
        NewerSchemaError: it is beyond that.
    """
    await refuse_newer(database, package)
    if await schema_of(database, package) == "expanded":
        return

    def upgrade(connection: Connection) -> None:
        config = _config(package)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        head = ScriptDirectory.from_config(config).get_revision("head")
        _COMPATIBILITY.create(connection, checkfirst=True)
        connection.execute(delete(_COMPATIBILITY))
        connection.execute(insert(_COMPATIBILITY).values(oldest_revision=head.module.oldest))

    async with database.begin() as connection:
        await connection.run_sync(upgrade)


async def schema_of(database: Database, package: str) -> Schema:
    """How the database stands to the newest revision that `package` holds; a revision it lacks is a newer one."""
    (seen, oldest), scripts = await _revisions(database), ScriptDirectory.from_config(_config(package))
    if seen == scripts.get_current_head():
        return "current"
    if _holds(scripts, seen or "base"):
        return "older"
    return "expanded" if oldest is not None and _holds(scripts, oldest) else "newer"


def _holds(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        scripts.get_revision(revision)
    except CommandError:
        return False
    return True


async def refuse_newer(database: Database, package: str) -> None:
    """Leave a database alone that a later version has migrated, and not said that this one can run on it.

    Raises:
        NewerSchemaError: says which revision was seen, and which is the newest here.
    """
    if await schema_of(database, package) == "newer":
        head = ScriptDirectory.from_config(_config(package)).get_current_head()
        seen, oldest = await _revisions(database)
        raise NewerSchemaError(
            f"the database is at revision `{seen}`, which {package} does not know and which needs at least"
            f" `{oldest or seen}`; allowed: at most `{head}`. Start the version that migrated it, or restore the"
            " database from before"
        )


async def _revisions(database: Database) -> tuple[str | None, str | None]:
    """The database's revision, and the oldest whose code can run on it, as far as they are known."""

    def revisions(connection: Connection) -> tuple[str | None, str | None]:
        inspector = inspect(connection)

        def only_value(table: Table) -> str | None:
            return connection.execute(select(table)).scalar() if inspector.has_table(table.name) else None

        return only_value(_REVISION), only_value(_COMPATIBILITY)

    async with database.read() as connection:
        return await connection.run_sync(revisions)


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
            f"REVOKE INSERT, UPDATE, DELETE ON alembic_version, {_COMPATIBILITY.name} FROM {quoted}",
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
