"""Audit starts whatever its database does, and is ready once it can write."""

import asyncio
from pathlib import Path

import pytest

from feedgate_audit.app import PACKAGE, create_app
from feedgate_audit.ports import AuditPorts
from feedgate_audit.settings import AuditSettings
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.migration import migrate
from feedgate_kit.stepped_clock import SteppedClock

from .conftest import HASH_KEY


async def test_a_database_that_comes_and_is_migrated_later_makes_audit_ready(
    tmp_path: Path, bus: EmbeddedBus, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedgate_audit.app.DATABASE_WATCH_S", 0.01)
    folder = tmp_path / "not mounted yet"
    database = Database(f"sqlite+aiosqlite:///{folder / 'audit.sqlite'}")
    service = create_app(
        AuditSettings(owner_hash_key=HASH_KEY),
        AuditPorts(bus=bus, database=database, verifier=TokenVerifier([], clock), clock=clock),
    )

    async def until_waiting_for(*conditions: str) -> None:
        async with asyncio.timeout(10):
            while True:
                if service.readiness.waiting_for() == list(conditions):
                    return
                await asyncio.sleep(0.005)

    migrated = "the database at this version's revision"
    async with service.lifespan():
        await until_waiting_for("database", migrated)
        folder.mkdir()
        await until_waiting_for(migrated)
        await migrate(database, PACKAGE)
        await until_waiting_for()
    await database.close()
