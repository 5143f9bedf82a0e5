"""A database that answers and takes nothing: one of its tables refuses every new row, as a full disk would."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text

from feedgate_kit.database import Database

FUNCTION: Final = """
    CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$
"""
REFUSE: Final = {
    "sqlite": ("CREATE TRIGGER no_room BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no room'); END",),
    "postgresql": (
        FUNCTION.format(body="RAISE 'no room' USING ERRCODE = 'disk_full';"),
        "CREATE OR REPLACE TRIGGER no_room BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION no_room()",
    ),
}
TAKE: Final = {
    "sqlite": ("DROP TRIGGER no_room",),
    # The trigger stays: to drop it would wait for everybody who reads the table, the publisher for one.
    "postgresql": (FUNCTION.format(body="RETURN NEW;"),),
}


@asynccontextmanager
async def no_room(database: Database, table: str) -> AsyncIterator[None]:
    """While the context lasts."""
    await _execute(database, REFUSE, table)
    yield
    await _execute(database, TAKE, table)


async def _execute(database: Database, statements: Mapping[str, Sequence[str]], table: str) -> None:
    async with database.begin() as connection:
        for statement in statements[database.dialect]:
            await connection.execute(text(statement.format(table=table)))
