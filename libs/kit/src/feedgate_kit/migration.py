"""Alembic, run from the service's own package: `<package>/migrations`."""

from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from feedgate_kit.database import Database


def _config(package: str) -> Config:
    # `package:folder` is how Alembic names a folder inside an installed package.
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    return config


async def migrate(database: Database, package: str) -> None:
    """Bring the database to the newest revision that `package` holds, in one transaction."""

    def upgrade(connection: Connection) -> None:
        config = _config(package)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with database.begin() as connection:
        await connection.run_sync(upgrade)


async def is_current(database: Database, package: str) -> bool:
    """Whether the database stands at the newest revision that `package` holds."""
    head = ScriptDirectory.from_config(_config(package)).get_current_head()

    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.read() as connection:
        return await connection.run_sync(revision) == head


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
