"""Audit's running role adds and reads, and can do nothing else, as `feedgate migrate` leaves it."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from feedgate_audit.app import PACKAGE
from feedgate_audit.chain import first_break
from feedgate_audit.facts import Fact
from feedgate_audit.store import AuditStore
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.migration import schema_of
from tests.servers.postgres import PostgresServer, SeparatedDatabase

pytestmark = pytest.mark.needs("postgres")

FORBIDDEN = (
    "UPDATE audit_entry SET value = ''",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "DROP TABLE audit_entry",
    "ALTER TABLE audit_entry DROP COLUMN hash",
    "CREATE TABLE another (id int)",
    "CREATE TRIGGER t BEFORE DELETE ON audit_entry EXECUTE FUNCTION audit_entry()",
    "UPDATE alembic_version SET version_num = 'other'",
    "DELETE FROM alembic_version",
)

MakeDatabase = Callable[[], SeparatedDatabase]


async def feedgate_migrate(service: str, database: SeparatedDatabase) -> None:
    """As operations run it; the password-bearing URL is in the environment only."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("feedgate")),
        *("migrate", service, "--running-role", database.running_role),
        env={**os.environ, "FEEDGATE_MIGRATE_DATABASE_URL": database.owner_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode()) == (0, f"{service}: migrated\n")


@pytest.fixture
async def migrated(postgres_roles: MakeDatabase) -> SeparatedDatabase:
    database = postgres_roles()
    await feedgate_migrate("audit", database)
    return database


async def refused(database: Database, statement: str) -> str:
    with pytest.raises(ProgrammingError) as raised:
        async with database.begin() as connection:
            await connection.execute(text(statement))
    return str(raised.value.orig)


async def test_the_running_role_adds_to_the_chain_and_reads_it(migrated: SeparatedDatabase) -> None:
    database = Database(migrated.running_url)
    try:
        assert await schema_of(database, PACKAGE) == "current"
        store = AuditStore(database, SystemClock())
        facts = [a_fact("one"), a_fact("two")]
        await store.append(facts)
        await store.append(facts)
        entries = [entry async for entry in store.entries()]
    finally:
        await database.close()
    assert [entry.value for entry in entries] == [b"one", b"two"]  # each once
    assert first_break(entries) is None


async def test_the_running_role_changes_and_removes_nothing(
    migrated: SeparatedDatabase, postgres_server: PostgresServer
) -> None:
    database = Database(migrated.running_url)
    try:
        await AuditStore(database, SystemClock()).append([a_fact("one")])
        answers = {statement: await refused(database, statement) for statement in FORBIDDEN}
    finally:
        await database.close()
    denied = {
        statement: "permission denied" in answer or "must be owner" in answer
        for statement, answer in answers.items()
    }
    assert denied == dict.fromkeys(FORBIDDEN, True)
    assert postgres_server.execute("SELECT value FROM audit_entry", migrated.name) == r"\x6f6e65"


async def test_a_second_migration_takes_back_what_was_granted_by_hand(
    migrated: SeparatedDatabase, postgres_server: PostgresServer
) -> None:
    postgres_server.execute(f'GRANT DELETE ON audit_entry TO "{migrated.running_role}"', migrated.name)
    await feedgate_migrate("audit", migrated)
    database = Database(migrated.running_url)
    try:
        assert "permission denied" in await refused(database, "DELETE FROM audit_entry")
    finally:
        await database.close()


async def test_registry_s_running_role_keeps_its_tables_but_not_its_revision(
    postgres_roles: MakeDatabase,
) -> None:
    separated = postgres_roles()
    await feedgate_migrate("registry", separated)
    database = Database(separated.running_url)
    try:
        async with database.begin() as connection:
            await connection.execute(text("DELETE FROM outbox_event"))
        assert "must be owner" in await refused(database, "DROP TABLE outbox_event")
        assert "permission denied" in await refused(database, "DELETE FROM alembic_version")
    finally:
        await database.close()


def a_fact(name: str) -> Fact:
    return Fact(
        record_id=name,
        type="feedgate.audit.v1.AuditRecord",
        value=name.encode(),
        event="view.started",
        occurred_at_us=1,
        owner="owner",
        camera_id="camera",
        view_id="view",
    )
