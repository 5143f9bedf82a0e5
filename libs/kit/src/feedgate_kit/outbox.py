"""Records on their way to the bus, written in the transaction that makes them true.

Two tables in every service's database. `outbox_state` keeps the newest version
of each key for ever: it is what the publisher holds its topic against.
`outbox_event` is emptied as events are acknowledged.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.record import VERSION_HEADER, Record
from feedgate_kit.bus.record_size import check_size
from feedgate_kit.clock import Clock
from feedgate_kit.topics import find_topic, load_topics

CHANNEL = "feedgate_outbox"
"""The PostgreSQL notification channel that wakes the publisher (each service has its own database)."""


@dataclass(frozen=True, slots=True)
class OutboxTables:
    """The two tables, as they stand in a service's metadata."""

    state: Table
    event: Table


def _state_columns() -> list[Column[Any]]:
    return [
        Column("topic", String(120), primary_key=True),
        Column("record_key", String(120), primary_key=True),
        Column("version", BigInteger, primary_key=True),
        Column("value", LargeBinary, nullable=False),
        Column("headers", Text, nullable=False),
        Column("acknowledged", Boolean, nullable=False),
    ]


def _event_columns() -> list[Column[Any]]:
    # SQLite counts only an INTEGER primary key up by itself.
    number = BigInteger().with_variant(Integer, "sqlite")
    return [
        Column("id", number, Identity(), primary_key=True),
        Column("topic", String(120), nullable=False),
        Column("record_key", String(120), nullable=False),
        Column("value", LargeBinary, nullable=False),
        Column("headers", Text, nullable=False),
    ]


def outbox_tables(metadata: MetaData) -> OutboxTables:
    """Add the outbox to a service's tables."""
    return OutboxTables(
        state=Table("outbox_state", metadata, *_state_columns()),
        event=Table("outbox_event", metadata, *_event_columns()),
    )


def create_outbox(op: Any) -> None:
    """Make the outbox in an Alembic revision; `op` is `alembic.op`."""
    op.create_table("outbox_state", *_state_columns())
    op.create_index(
        "outbox_state_unacknowledged",
        "outbox_state",
        ["topic"],
        postgresql_where=text("not acknowledged"),
        sqlite_where=text("not acknowledged"),
    )
    op.create_table("outbox_event", *_event_columns())


def drop_outbox(op: Any) -> None:
    """Undo `create_outbox`."""
    op.drop_table("outbox_event")
    op.drop_table("outbox_state")


class Outbox:
    """Stages records in the caller's transaction; never talks to the bus.

    What its topic would not take is refused here, with the act that made it:
    once committed, it would stand in the way of everything behind it.
    """

    def __init__(self, tables: OutboxTables, source: str, clock: Clock) -> None:
        """Stage on behalf of `source`, the service's name."""
        self.tables = tables
        self.source = source
        self.clock = clock

    async def stage_state(
        self, connection: AsyncConnection, *, topic: str, key: str, version: int, message: Message
    ) -> None:
        """Stage version `version` of an entity's record.

        The caller has the entity's row locked, so that versions of one key are
        given and committed in order.

        Raises:
            TooLargeError: the topic does not take it; nothing was staged.
        """
        headers = dict(self._headers(message, subject=key)) | {VERSION_HEADER: str(version)}
        record = Record(key, message.SerializeToString(), headers)
        check_size(record, find_topic(load_topics(), topic, "state"))
        row = {**_row(topic, record), "version": version, "acknowledged": False}
        await connection.execute(insert(self.tables.state).values(row))
        await self._wake_publisher(connection)

    async def stage_event(
        self, connection: AsyncConnection, *, topic: str, key: str, message: Message
    ) -> None:
        """Stage a fact.

        Raises:
            TooLargeError: the topic does not take it; nothing was staged.
        """
        record = Record(key, message.SerializeToString(), self._headers(message, subject=key))
        check_size(record, find_topic(load_topics(), topic, "events"))
        await connection.execute(insert(self.tables.event).values(_row(topic, record)))
        await self._wake_publisher(connection)

    def _headers(self, message: Message, subject: str) -> Mapping[str, str]:
        return headers_for(
            type=message.DESCRIPTOR.full_name, source=self.source, subject=subject, clock=self.clock
        )

    @staticmethod
    async def _wake_publisher(connection: AsyncConnection) -> None:
        if connection.dialect.name == "postgresql":
            # Delivered at commit, once per transaction. On SQLite `Database.committed` does it.
            await connection.execute(text(f"NOTIFY {CHANNEL}"))


def _row(topic: str, record: Record) -> dict[str, Any]:
    return {
        "topic": topic,
        "record_key": record.key,
        "value": record.value,
        "headers": json.dumps(dict(record.headers)),
    }


def stored_record(row: Any) -> Record:
    """The record that a row of either table holds."""
    return Record(key=row.record_key, value=bytes(row.value), headers=json.loads(row.headers))
