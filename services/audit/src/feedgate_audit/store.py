"""Writing to the chain, and reading it back."""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_audit.chain import GENESIS, ChainEntry, link
from feedgate_audit.facts import Fact
from feedgate_audit.tables import audit_entry
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database

_COLUMNS = audit_entry.c
_CHAIN = (
    _COLUMNS.position,
    _COLUMNS.recorded_at_us,
    _COLUMNS.type,
    _COLUMNS.value,
    _COLUMNS.previous_hash,
    _COLUMNS.hash,
)


class AuditStore:
    """The chain in its database. It has no way to change or remove an entry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    async def append(self, facts: Sequence[Fact]) -> list[Fact]:
        """Add the facts not yet there, in order and in one transaction; these are returned."""
        async with self.database.begin() as connection:
            await _one_writer(connection)
            known = await _known_ids(connection, [fact.record_id for fact in facts])
            new: dict[str, Fact] = {}
            for fact in facts:
                if fact.record_id not in known:
                    new.setdefault(fact.record_id, fact)
            position, previous_hash = await _end_of_chain(connection)
            rows = []
            for fact in new.values():
                position += 1
                entry = link(previous_hash, position, self.clock.now_us(), fact.type, fact.value)
                previous_hash = entry.hash
                rows.append(_row(entry, fact))
            if rows:
                await connection.execute(insert(audit_entry), rows)
            return list(new.values())

    async def entries(self, batch: int = 1_000) -> AsyncIterator[ChainEntry]:
        """The whole chain from its first entry on."""
        after = 0
        while True:
            async with self.database.read() as connection:
                page = (
                    select(*_CHAIN).where(_COLUMNS.position > after).order_by(_COLUMNS.position).limit(batch)
                )
                rows = (await connection.execute(page)).all()
            if not rows:
                return
            for row in rows:
                yield ChainEntry(
                    row.position,
                    row.recorded_at_us,
                    row.type,
                    bytes(row.value),
                    bytes(row.previous_hash),
                    bytes(row.hash),
                )
            after = rows[-1].position

    async def of_owner(
        self, owner: str, *, camera_id: str | None, without: Collection[str], before: int | None, limit: int
    ) -> Sequence[Any]:
        """An owner's records, newest first.

        Args:
            owner: the keyed hash of the owner.
            camera_id: only this camera's, if given.
            without: events that open no ledger entry.
            before: a position; only older ones.
            limit: at most so many.
        """
        question = select(_COLUMNS.position, _COLUMNS.value, _COLUMNS.view_id).where(
            _COLUMNS.owner == owner,
            _COLUMNS.event.not_in(without),
        )
        if camera_id is not None:
            question = question.where(_COLUMNS.camera_id == camera_id)
        if before is not None:
            question = question.where(_COLUMNS.position < before)
        async with self.database.read() as connection:
            rows = await connection.execute(question.order_by(_COLUMNS.position.desc()).limit(limit))
            return rows.all()

    async def of_views(self, owner: str, view_ids: Collection[str]) -> Sequence[Any]:
        """Everything recorded of these views of the owner's cameras, oldest first."""
        question = (
            select(_COLUMNS.position, _COLUMNS.value, _COLUMNS.view_id)
            .where(_COLUMNS.owner == owner, _COLUMNS.view_id.in_(view_ids))
            .order_by(_COLUMNS.position)
        )
        async with self.database.read() as connection:
            return (await connection.execute(question)).all()


async def _one_writer(connection: AsyncConnection) -> None:
    # SQLite's BEGIN IMMEDIATE already lets one writer in at a time.
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('audit chain', 0))"))


async def _known_ids(connection: AsyncConnection, record_ids: Collection[str]) -> set[str]:
    known = select(_COLUMNS.record_id).where(_COLUMNS.record_id.in_(record_ids))
    return set((await connection.execute(known)).scalars())


async def _end_of_chain(connection: AsyncConnection) -> tuple[int, bytes]:
    last = select(_COLUMNS.position, _COLUMNS.hash).order_by(_COLUMNS.position.desc()).limit(1)
    row = (await connection.execute(last)).first()
    return (0, GENESIS) if row is None else (row.position, bytes(row.hash))


def _row(entry: ChainEntry, fact: Fact) -> dict[str, Any]:
    return {
        "position": entry.position,
        "recorded_at_us": entry.recorded_at_us,
        "type": entry.type,
        "value": entry.value,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
        "record_id": fact.record_id,
        "event": fact.event,
        "owner": fact.owner,
        "camera_id": fact.camera_id,
        "view_id": fact.view_id,
    }
