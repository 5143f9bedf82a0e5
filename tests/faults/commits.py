"""Commits that are slow or refused, by PostgreSQL itself: a constraint that is checked at commit."""

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

CHECK: Final = """
    CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        {what}
        RETURN NULL;
    END $$
"""
# Once in each transaction, however many rows it writes.
WAIT: Final = f"""
        IF current_setting('faults.waited', true) IS DISTINCT FROM txid_current()::text THEN
            PERFORM set_config('faults.waited', txid_current()::text, true);
            PERFORM pg_sleep({COMMIT_S});
        END IF;
"""
REFUSE: Final = "RAISE 'no space left on device' USING ERRCODE = 'disk_full';"
TRIGGER: Final = """
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_commit()
"""


class Commits:
    """Of the services' databases; as ever until told otherwise."""

    def __init__(self, postgres: PostgresServer, databases: Mapping[str, SeparatedDatabase]) -> None:
        self._postgres = postgres
        self._databases = databases

    async def install(self) -> None:
        """Make the constraints; each in a transaction of its own, so that no two locks are held together."""
        for service, tables in WRITTEN.items():
            await self.as_ever(service)
            for table in tables:
                await self._execute(service, TRIGGER.format(table=table))

    async def slow(self, service: str) -> None:
        await self._execute(service, CHECK.format(what=WAIT))

    async def refused(self, service: str) -> None:
        await self._execute(service, CHECK.format(what=REFUSE))

    async def as_ever(self, service: str) -> None:
        await self._execute(service, CHECK.format(what=""))

    async def _execute(self, service: str, statement: str) -> None:
        await asyncio.to_thread(self._postgres.execute, statement, self._databases[service].name)
