"""The turns of the one publisher of a state topic.

The order of a turn is model-checked (design §3 and its models; but for owed
stops, which only withhold a heartbeat); none of its steps may move:

    1. read the clock: `as_of`
    2. read the own topic back to the end as it is fetched then
    3. send again every key whose last record there is older than the database's
    4. on the session that holds the lock, ask for rows not yet acknowledged
    5. only when there was nothing to send: a heartbeat with that `as_of`, unless a stop is owed; after that
       question comes step 4 once more

Step 2 heals what a dead predecessor wrote late, however late it comes; no timer
bounds that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Executable, Select, and_, delete, func, select, tuple_, update

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.ports import StateLog, StateReader
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.outbox import Outbox, stored_record
from feedgate_kit.publisher_lock import STATEMENT_S

KEYS_AT_ONCE = 100
MOST_KEYS_IN_A_QUERY = 10_000  # both databases take some 32,000 parameters; beyond this, ask for all


class Session(Protocol):
    """Asks the database while the publisher's lock is held."""

    async def rows(self, statement: Executable) -> Sequence[Any]: ...


class Sent(Protocol):
    """Told of what was sent."""

    def heartbeat_sent(self, as_of_us: int) -> None: ...

    def records_sent(self, count: int, *, again: bool) -> None:
        """`again`: had been acknowledged at that version before, and the topic held an older one."""
        ...


class StateTurns:
    """One lock holder and its state topic."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        log: StateLog,
        clock: Clock,
        topic: str,
        session: Session,
        is_owing: Callable[[], Awaitable[bool]],
        sent: Sent,
    ) -> None:
        """Prepare; `turn` opens the reader."""
        self.database = database
        self.outbox = outbox
        self.log = log
        self.clock = clock
        self.topic = topic
        self.session = session
        self.is_owing = is_owing
        self.sent = sent
        self.table = outbox.tables.state
        self.reader: StateReader | None = None
        self.last_in_log: dict[str, int] = {}
        self.sequence = 0
        # Keys to hold against the database: all at first, then those read back since.
        self.suspects: set[str] | None = None

    async def close(self) -> None:
        if self.reader is not None:
            await self.reader.close()

    async def turn(self) -> bool:
        """Whether something had to be sent, so that no heartbeat could be."""
        as_of_us = self.clock.now_us()
        await self._read_back()
        if stale := await self._stale_rows():
            await self._send(stale)
            return True
        if await self._send_unacknowledged():
            return True
        if await self.is_owing():
            return False
        # Once more: a stop that was made good before that answer is among the rows after it.
        if await self._send_unacknowledged():
            return True
        await self._send_heartbeat(as_of_us)
        return False

    async def _send_unacknowledged(self) -> bool:
        """Whether there was anything."""
        if rows := await self.session.rows(self._unacknowledged()):
            await self._send(rows)
        return bool(rows)

    async def _read_back(self) -> None:
        if self.reader is None:
            self.reader = await self.log.open_reader()
        async for batch in self.reader.to_end():
            for record in batch:
                self._note(record)

    def _note(self, record: Record) -> None:
        if record.key == HEARTBEAT_KEY:
            return
        version = record.headers.get(VERSION_HEADER, "")
        # A record that is not ours to read counts as older than everything.
        self.last_in_log[record.key] = int(version) if version.isdigit() else 0
        if self.suspects is not None:
            self.suspects.add(record.key)

    async def _stale_rows(self) -> Sequence[Any]:
        """The newest row of every suspect key whose last record in the log is older."""
        if self.suspects is not None and not self.suspects:
            return ()
        newest = await self.session.rows(self._newest_versions(self.suspects))
        stale = [
            (row.record_key, row.version)
            for row in newest
            if self.last_in_log.get(row.record_key, 0) < row.version
        ]
        self.suspects = set()
        # Until they are seen in the log they stay suspect, also if sending fails.
        self.suspects.update(key for key, _ in stale)
        if not stale:
            return ()
        columns = self.table.c
        return [
            row
            for start in range(0, len(stale), KEYS_AT_ONCE)
            for row in await self.session.rows(
                select(self.table).where(
                    columns.topic == self.topic,
                    tuple_(columns.record_key, columns.version).in_(stale[start : start + KEYS_AT_ONCE]),
                )
            )
        ]

    def _newest_versions(self, keys: set[str] | None) -> Select[Any]:
        columns = self.table.c
        newest = select(columns.record_key, func.max(columns.version).label("version")).where(
            columns.topic == self.topic
        )
        if keys is not None and len(keys) <= MOST_KEYS_IN_A_QUERY:
            newest = newest.where(columns.record_key.in_(keys))
        return newest.group_by(columns.record_key)

    def _unacknowledged(self) -> Select[Any]:
        # Never "id > last": ids are given before commit.
        columns = self.table.c
        return (
            select(self.table)
            .where(columns.topic == self.topic, columns.acknowledged.is_(False))
            .order_by(columns.record_key, columns.version)
        )

    async def _send(self, rows: Sequence[Any]) -> None:
        await in_order_per_key(rows, attrgetter("record_key"), self._send_row)
        # A commit between a send and its read-back makes a key stale, too: its row is new, not sent again.
        # Only this lock holder acknowledges, so what was at the question was before the read-back.
        again = sum(row.acknowledged for row in rows)
        if again:
            self.sent.records_sent(again, again=True)
        if len(rows) > again:
            self.sent.records_sent(len(rows) - again, again=False)

    async def _send_row(self, row: Any) -> None:
        await self.log.append(stored_record(row))
        columns = self.table.c
        same_key = and_(columns.topic == self.topic, columns.record_key == row.record_key)
        async with asyncio.timeout(STATEMENT_S), self.database.begin() as connection:
            # Older versions have no more use; the newest stays, to be held against the log.
            await connection.execute(delete(self.table).where(same_key, columns.version < row.version))
            await connection.execute(
                update(self.table).where(same_key, columns.version == row.version).values(acknowledged=True)
            )

    async def _send_heartbeat(self, as_of_us: int) -> None:
        self.sequence += 1
        as_of = Timestamp()
        as_of.FromMicroseconds(as_of_us)
        heartbeat = Heartbeat(as_of=as_of, sequence=self.sequence)
        headers = headers_for(
            type=heartbeat.DESCRIPTOR.full_name,
            source=self.outbox.source,
            subject=HEARTBEAT_KEY,
            clock=self.clock,
        )
        await self.log.append(Record(key=HEARTBEAT_KEY, value=heartbeat.SerializeToString(), headers=headers))
        self.sent.heartbeat_sent(as_of_us)


async def in_order_per_key(
    rows: Sequence[Any], key: Callable[[Any], Any], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Send keys beside each other, and the rows of one key one after the other."""

    async def send_all(group: list[Any]) -> None:
        for row in group:
            await send(row)

    groups = [list(group) for _, group in groupby(sorted(rows, key=key), key)]
    for start in range(0, len(groups), KEYS_AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for group in groups[start : start + KEYS_AT_ONCE]:
                tasks.create_task(send_all(group))
