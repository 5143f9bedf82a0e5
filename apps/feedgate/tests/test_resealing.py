"""Stored sources sealed to a pool's next key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select
from typer.testing import CliRunner

from feedgate.cli import app
from feedgate.resealing import BATCH, KeyFileError, load_pool_keys, reseal
from feedgate.service_databases import ServiceDatabaseError, migrate_service
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_kit.database import Database
from feedgate_kit.sealing import key_id_of, open_sealed, private_key_text, seal
from feedgate_registry.adapters import rows
from feedgate_registry.camera import Camera, Place
from feedgate_registry.tables import CAMERAS, OUTBOX

LAST, COMING, LOST = (X25519PrivateKey.generate() for _ in range(3))
LAST_ID, COMING_ID, LOST_ID = (key_id_of(key.public_key()) for key in (LAST, COMING, LOST))
KEYS = {COMING_ID: COMING, LAST_ID: LAST}
SOURCE = "rtsp://admin:hunter2@192.168.7.{}/live"


@dataclass
class Stored:
    url: str
    database: Database

    async def add(self, number: int, key: X25519PrivateKey, *, pool: str = "site", version: int = 3) -> str:
        camera_id = f"camera-{number:04}"
        key_id = key_id_of(key.public_key())
        sealed = seal(key.public_key(), SOURCE.format(number).encode(), camera_id, version, key_id)
        camera = Camera(
            camera_id=camera_id,
            owner="owner",
            version=7,
            name="Door",
            place=Place(0.0, 0.0, 0.0, 90.0),
            jurisdiction="AR",
            ingest_pool=pool,
            pool_version=1,
            source_version=version,
            source_key_id=key_id,
            source_set_at_us=0,
            created_at_us=0,
            resumed_at_us=0,
            paused_at_us=None,
            removed_at_us=None,
        )
        async with self.database.begin() as connection:
            await rows.add_camera(connection, camera, sealed)
        return camera_id

    async def opened(self, camera_id: str, key: X25519PrivateKey) -> str:
        async with self.database.read() as connection:
            row = (await connection.execute(select(CAMERAS).where(CAMERAS.c.camera_id == camera_id))).one()
        assert row.version == 7, "nothing that anybody was told changes"
        assert row.source_key_id == key_id_of(key.public_key())
        sealed = bytes(row.sealed_source)
        return open_sealed(key, sealed, camera_id, row.source_version, row.source_key_id).decode()

    async def records(self) -> list[AuditRecord]:
        async with self.database.read() as connection:
            staged = (await connection.execute(select(OUTBOX.event))).all()
        return [AuditRecord.FromString(row.value) for row in staged]


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Stored]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'registry.sqlite'}"
    await migrate_service("registry", url)
    database = Database(url)
    async with database.begin() as connection:
        await rows.add_owner(connection, "owner", issuer="i", subject="s", created_at_us=0)
    yield Stored(url, database)
    await database.close()


async def test_every_source_of_the_pool_opens_with_the_next_key_alone(stored: Stored) -> None:
    ids = [await stored.add(number, LAST) for number in range(2 * BATCH + 1)]
    await stored.add(5000, LAST, pool="depot")
    done = await reseal(stored.url, "site", KEYS)
    assert (done.done, done.left) == (len(ids), {})
    for number, camera_id in enumerate(ids):
        assert await stored.opened(camera_id, COMING) == SOURCE.format(number)
    assert await stored.opened("camera-5000", LAST) == SOURCE.format(5000), "another pool's"
    records = await stored.records()
    assert [record.camera_id for record in records] == ids
    assert {(each.event, each.actor.pseudonym, each.owner) for each in records} == {
        ("source.resealed", "operations", "owner")
    }
    assert "hunter2" not in str(records)
    assert (await reseal(stored.url, "site", KEYS)).done == 0
    assert len(await stored.records()) == len(ids)


async def test_what_no_key_opens_is_counted_and_left_as_it_is(stored: Stored) -> None:
    lost = [await stored.add(number, LOST) for number in range(BATCH + 2)]
    await stored.add(5000, LAST)
    done = await reseal(stored.url, "site", KEYS)
    assert (done.done, done.left) == (1, {LOST_ID: len(lost)})
    assert await stored.opened(lost[0], LOST) == SOURCE.format(0)


async def test_the_command_refuses_while_a_source_is_left(stored: Stored, tmp_path: Path) -> None:
    await stored.add(1, LAST)
    await stored.add(2, LOST)
    file = tmp_path / "pool"
    file.write_text("\n".join(map(private_key_text, KEYS.values())), encoding="ascii")

    def run() -> tuple[int, list[str]]:
        result = CliRunner().invoke(app, ["reseal", "site", str(file), "--database-url", stored.url])
        return result.exit_code, result.output.splitlines()

    left = f"still sealed to `{LOST_ID}`: 1"
    assert await asyncio.to_thread(run) == (1, ["sealed anew: 1", left])
    with file.open("a") as opened:
        opened.write(f"\n{private_key_text(LOST)}\n")
    assert await asyncio.to_thread(run) == (0, ["sealed anew: 1"])


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read: FileNotFoundError"), ("c2VjcmV0", "has 6 bytes")]
)
def test_a_file_without_keys_is_named_and_not_repeated(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "pool"
    if text is not None:
        file.write_text(text, encoding="ascii")
    with pytest.raises(KeyFileError, match=said) as refused:
        load_pool_keys(file)
    assert text is None or text not in str(refused.value)


async def test_a_database_without_tables_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(ServiceDatabaseError, match="run `feedgate migrate registry` first"):
        await reseal(f"sqlite+aiosqlite:///{tmp_path / 'none.sqlite'}", "site", KEYS)
