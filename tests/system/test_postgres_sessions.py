"""What a process or a machine that says nothing any more leaves behind in a real PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from feedgate_kit.database import IDLE_TRANSACTION_S, SESSION, Database
from tests.system.holder import holder_of

pytestmark = pytest.mark.needs("postgres")

SLACK_S = 1.5
"""For a busy machine."""
LOCK_ROW = "UPDATE shared SET written_by = 'the one that stops'"
HOLDER = f"""
import asyncio, sys
from sqlalchemy import text
from feedgate_kit.database import Database

async def hold():
    async with Database(sys.argv[1]).begin() as connection:
        await connection.execute(text({LOCK_ROW!r}))
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = Database(postgres_url)
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE shared AS SELECT 'nobody' AS written_by"))
    yield database
    await database.close()


async def test_a_row_that_a_stopped_process_had_locked_can_soon_be_written(
    database: Database, postgres_url: str, tmp_path: Path
) -> None:
    async with holder_of(HOLDER, postgres_url, tmp_path) as holder:
        holder.freeze()
        began_s = time.monotonic()
        async with asyncio.timeout(IDLE_TRANSACTION_S + SLACK_S), database.begin() as connection:
            await connection.execute(text("UPDATE shared SET written_by = 'the one that waited'"))
        assert time.monotonic() - began_s > IDLE_TRANSACTION_S - SLACK_S
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT written_by FROM shared"))).scalar_one() == (
            "the one that waited"
        )


async def test_sessions_that_a_rush_opened_end_after_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "idle_session_timeout", "1s")
    database = Database(postgres_url)
    sessions = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")

    async def count() -> int:
        async with database.read() as connection:
            return int((await connection.execute(sessions)).scalar_one())

    try:
        assert max(await asyncio.gather(*(count() for _ in range(5)))) > 1
        async with asyncio.timeout(5):
            while await count() > 1:  # asked at once again, so that this one session is never idle
                pass
    finally:
        await database.close()


async def test_a_machine_that_vanished_keeps_its_sessions_for_half_a_minute_at_most(
    database: Database,
) -> None:
    async def shown(setting: str) -> str:
        async with database.read() as connection:
            return str((await connection.execute(text(f"SHOW {setting}"))).scalar_one())

    idle_s, interval_s, count = [
        int(await shown(f"tcp_keepalives_{part}")) for part in ("idle", "interval", "count")
    ]
    assert 0 < idle_s + interval_s * count <= 30
    assert 0 < int(await shown("tcp_user_timeout")) <= 30_000  # ms, for what was sent and never acknowledged
