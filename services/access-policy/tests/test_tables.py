from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from feedgate_access_policy.tables import METADATA

from .conftest import Stand


async def test_the_migrations_make_the_tables_that_the_code_uses(stand: Stand) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        found = compare_metadata(context, METADATA)
        kits = ("outbox", "schema_compatibility")
        return [each for each in found if not any(table in str(each) for table in kits)]

    async with stand.database.read() as connection:
        assert await connection.run_sync(differences) == []


def test_nothing_is_kept_without_a_retention_class() -> None:
    own = [table for table in METADATA.sorted_tables if not table.name.startswith("outbox")]
    assert {table.name for table in own} == {"people", "incidents", "requests", "decisions", "grants"}
    assert {table.info["retention"] for table in own} == {"case rules", "audit records"}
