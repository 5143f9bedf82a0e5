"""Slow commits, made in PostgreSQL itself: a constraint that is checked at commit takes its time."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tests.servers.postgres import PostgresServer, SeparatedDatabase

COMMIT_S: Final = 2
"""What a commit takes longer."""
WRITTEN: Final[Mapping[str, tuple[str, ...]]] = {
    "registry": ("outbox_state", "outbox_event"),
    "access-policy": ("outbox_state", "outbox_event"),
    "audit": ("audit_entry",),
}
"""What each service writes with everything it does."""

# Once in each transaction, however many rows it writes.
CHECK: Final = """
    CREATE OR REPLACE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF current_setting('faults.waited', true) IS DISTINCT FROM txid_current()::text THEN
            PERFORM set_config('faults.waited', txid_current()::text, true);
            PERFORM pg_sleep({seconds});
        END IF;
        RETURN NULL;
    END $$
"""
TRIGGER: Final = """
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow_commit()
"""


class Commits:
    """Of the services' databases; as quick as ever until told otherwise."""

    def __init__(self, postgres: PostgresServer, databases: Mapping[str, SeparatedDatabase]) -> None:
        self._postgres = postgres
        self._databases = databases

    async def install(self) -> None:
        """Make the constraints; each in a transaction of its own, so that no two locks are held together."""
        for service, tables in WRITTEN.items():
            await self.quick(service)
            for table in tables:
                await self._execute(service, TRIGGER.format(table=table))

    async def slow(self, service: str) -> None:
        await self._execute(service, CHECK.format(seconds=COMMIT_S))

    async def quick(self, service: str) -> None:
        await self._execute(service, CHECK.format(seconds=0))

    async def _execute(self, service: str, statement: str) -> None:
        await asyncio.to_thread(self._postgres.execute, statement, self._databases[service].name)
