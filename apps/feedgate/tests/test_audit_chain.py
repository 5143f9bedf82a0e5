"""Whether the audit chain is unbroken, from its database."""

from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from feedgate.audit_chain import audit_database_of, verify_chain
from feedgate.data_folder import DataFolderError
from feedgate.service_databases import ServiceDatabaseError, migrate_service
from feedgate_audit.chain import GENESIS
from feedgate_audit.facts import Fact
from feedgate_audit.store import AuditStore
from feedgate_audit.tables import audit_entry
from feedgate_kit.database import Database
from feedgate_kit.stepped_clock import SteppedClock

LENGTH = 2_345
"""More than are read at once, and no multiple of it."""


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A chain of `LENGTH` entries."""
    url = f"sqlite+aiosqlite:///{tmp_path}/audit.sqlite"
    await migrate_service("audit", url)
    database = Database(url)
    facts = [Fact("feedgate.Test", bytes([n % 256]), f"record-{n}", "test", n) for n in range(LENGTH)]
    await AuditStore(database, SteppedClock()).append(facts)
    await database.close()
    return url


async def test_an_unbroken_chain_says_how_long_it_is_and_how_it_ends(url: str) -> None:
    database = Database(url)
    async with database.read() as connection:
        last = (
            await connection.execute(select(audit_entry.c.hash).where(audit_entry.c.position == LENGTH))
        ).scalar_one()
    await database.close()
    report = await verify_chain(url)
    assert (report.length, report.last_hash, report.broken_at) == (LENGTH, last, None)
    assert str(report) == f"unbroken: {LENGTH} entries, the last with hash {last.hex()}"


POSITION = audit_entry.c.position


@pytest.mark.parametrize(
    ("edit", "broken_at"),
    [
        pytest.param(update(audit_entry).where(POSITION == 1_500).values(value=b"?"), 1_500, id="a value"),
        pytest.param(update(audit_entry).where(POSITION == 1).values(recorded_at_us=7), 1, id="a time"),
        pytest.param(update(audit_entry).where(POSITION == 1_000).values(hash=GENESIS), 1_000, id="a hash"),
        pytest.param(update(audit_entry).where(POSITION == 1_001).values(type="x"), 1_001, id="a type"),
        pytest.param(delete(audit_entry).where(POSITION == 2_000), 2_000, id="an entry removed"),
        pytest.param(delete(audit_entry).where(POSITION == 1), 1, id="the first removed"),
    ],
)
async def test_an_edit_breaks_the_chain_where_it_was_made(url: str, edit: object, broken_at: int) -> None:
    database = Database(url)
    async with database.begin() as connection:
        await connection.execute(edit)  # type: ignore[call-overload]  # an update or a delete
    await database.close()
    report = await verify_chain(url)
    assert (report.is_unbroken, report.broken_at, report.length) == (False, broken_at, broken_at - 1)
    entries = "1 entry" if broken_at == 2 else f"{broken_at - 1} entries"
    assert str(report) == f"broken at entry {broken_at}: it does not follow from the {entries} before it"


async def test_an_entry_put_in_at_the_end_breaks_it(url: str) -> None:
    database = Database(url)
    texts = dict.fromkeys(("type", "record_id", "event", "owner", "camera_id", "view_id"), "x")
    forged = {**texts, "position": LENGTH + 1, "recorded_at_us": 1, "value": b"", "previous_hash": b"x"}
    async with database.begin() as connection:
        await connection.execute(insert(audit_entry).values(**forged, hash=b"x"))
    await database.close()
    assert (await verify_chain(url)).broken_at == LENGTH + 1


async def test_an_empty_chain_is_unbroken(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/audit.sqlite"
    await migrate_service("audit", url)
    assert str(await verify_chain(url)) == f"unbroken: 0 entries, the last with hash {GENESIS.hex()}"


async def test_a_database_without_a_chain_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ServiceDatabaseError, match=r"^the audit chain cannot be read: no such table: audit_entry$"
    ):
        await verify_chain(f"sqlite+aiosqlite:///{tmp_path}/other.sqlite")


def test_a_folder_without_a_chain_is_refused_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="holds no audit database"):
        audit_database_of(tmp_path)
    assert list(tmp_path.iterdir()) == []
