"""One publisher per service: outbox to bus, then a heartbeat that vouches for it.

The order of a turn is model-checked (design §3 and its models); none of its
steps may move:

    1. read the clock: `as_of`
    2. read the own topic back to the end as it is fetched then
    3. send again every key whose last record there is older than the database's
    4. on the session that holds the lock, ask for rows not yet acknowledged
    5. only when there was nothing to send: a heartbeat with that `as_of`

Step 2 heals what a dead predecessor wrote late, however late it comes; no timer
bounds that.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import and_, delete, func, select, tuple_, update

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.ports import Bus, StateLog, StateReader
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.outbox import CHANNEL, Outbox, stored_record
from feedgate_kit.publisher_lock import LockSession, publisher_lock

HEARTBEAT_S = 0.5
EVENTS_AT_ONCE = 200
KEYS_AT_ONCE = 100
MOST_KEYS_IN_A_QUERY = 10_000  # both databases take some 32,000 parameters; beyond this, ask for all


class PublisherMetrics(Protocol):
    """What an operator wants to know of a publisher."""

    def heartbeat_sent(self, as_of_us: int) -> None: ...

    def records_sent(self, count: int, *, again: bool) -> None: ...


class _NoMetrics:
    def heartbeat_sent(self, as_of_us: int) -> None:
        pass

    def records_sent(self, count: int, *, again: bool) -> None:
        pass


class Publisher:
    """Publishes one service's outbox while it holds the lock."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        bus: Bus,
        clock: Clock,
        state_topic: str | None,
        metrics: PublisherMetrics | None = None,
        interval_s: float = HEARTBEAT_S,
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            database: where the outbox lies.
            outbox: its tables and the service's name.
            bus: where records go.
            clock: stamps heartbeats.
            state_topic: the one state topic this service owns; None if it only has events.
            metrics: told of what was sent.
            interval_s: between two heartbeats where nothing happens.
        """
        self.database = database
        self.outbox = outbox
        self.bus = bus
        self.clock = clock
        self.state_topic = state_topic
        self.metrics = metrics or _NoMetrics()
        self.interval_s = interval_s
        self.heartbeat_sent = asyncio.Event()
        self.last_heartbeat_us: int | None = None

    async def run(self) -> None:
        """Wait for the lock, then publish until cancelled.

        Raises:
            LockLostError, BusError: start again; the next run reads everything back.
        """
        async with publisher_lock(self.database, f"publisher of {self.outbox.source}") as session:
            wake_up = _WakeUp(self.database, self.interval_s)
            async with asyncio.TaskGroup() as tasks:  # one failing ends this run whole, on purpose
                tasks.create_task(wake_up.listen())
                tasks.create_task(self._forward_events(wake_up))
                if self.state_topic is not None:
                    tasks.create_task(self._publish_state(self.state_topic, session, wake_up))

    async def _publish_state(self, topic: str, session: LockSession, wake_up: "_WakeUp") -> None:
        turns = _StateTurns(self, topic, session)
        await turns.start()
        woken = wake_up.subscribe()
        try:
            while True:
                woken.clear()
                if not await turns.turn():
                    await wake_up.wait(woken)
        finally:
            await turns.close()

    async def _forward_events(self, wake_up: "_WakeUp") -> None:
        table = self.outbox.tables.event
        woken = wake_up.subscribe()
        while True:
            woken.clear()
            async with self.database.read() as connection:
                oldest = select(table).order_by(table.c.id).limit(EVENTS_AT_ONCE)
                rows = (await connection.execute(oldest)).all()
            if not rows:
                await wake_up.wait(woken)
                continue
            await _in_order_per_key(rows, attrgetter("topic", "record_key"), self._append_event)
            async with self.database.begin() as connection:
                await connection.execute(delete(table).where(table.c.id.in_([row.id for row in rows])))

    async def _append_event(self, row: Any) -> None:
        await self.bus.event_log(row.topic).append(stored_record(row))


class _StateTurns:
    """The turns of one lock holder over its state topic."""

    def __init__(self, publisher: Publisher, topic: str, session: LockSession) -> None:
        self.publisher = publisher
        self.topic = topic
        self.session = session
        self.table = publisher.outbox.tables.state
        self.log: StateLog = publisher.bus.state_log(topic)
        self.reader: StateReader | None = None
        self.last_in_log: dict[str, int] = {}
        self.sequence = 0
        # Keys to hold against the database: all at first, then those read back since.
        self.suspects: set[str] | None = None

    async def start(self) -> None:
        self.reader = await self.log.open_reader()

    async def close(self) -> None:
        if self.reader is not None:
            await self.reader.close()

    async def turn(self) -> bool:
        """Whether something had to be sent, so that no heartbeat could be."""
        as_of_us = self.publisher.clock.now_us()
        await self._read_back()
        if stale := await self._stale_rows():
            await self._send(stale, again=True)
            return True
        if rows := await self.session.rows(self._unacknowledged()):
            await self._send(rows, again=False)
            return True
        await self._send_heartbeat(as_of_us)
        return False

    async def _read_back(self) -> None:
        assert self.reader is not None
        for record in await self.reader.read_to_end():
            if record.key == HEARTBEAT_KEY:
                continue
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

    def _newest_versions(self, keys: set[str] | None) -> Any:
        columns = self.table.c
        newest = select(columns.record_key, func.max(columns.version).label("version")).where(
            columns.topic == self.topic
        )
        if keys is not None and len(keys) <= MOST_KEYS_IN_A_QUERY:
            newest = newest.where(columns.record_key.in_(keys))
        return newest.group_by(columns.record_key)

    def _unacknowledged(self) -> Any:
        # Never "id > last": ids are given before commit.
        columns = self.table.c
        return (
            select(self.table)
            .where(columns.topic == self.topic, columns.acknowledged.is_(False))
            .order_by(columns.record_key, columns.version)
        )

    async def _send(self, rows: Sequence[Any], *, again: bool) -> None:
        await _in_order_per_key(rows, attrgetter("record_key"), self._send_row)
        self.publisher.metrics.records_sent(len(rows), again=again)

    async def _send_row(self, row: Any) -> None:
        await self.log.append(stored_record(row))
        columns = self.table.c
        same_key = and_(columns.topic == self.topic, columns.record_key == row.record_key)
        async with self.publisher.database.begin() as connection:
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
            source=self.publisher.outbox.source,
            subject=HEARTBEAT_KEY,
            clock=self.publisher.clock,
        )
        await self.log.append(Record(key=HEARTBEAT_KEY, value=heartbeat.SerializeToString(), headers=headers))
        self.publisher.last_heartbeat_us = as_of_us
        self.publisher.heartbeat_sent.set()
        self.publisher.metrics.heartbeat_sent(as_of_us)


async def _in_order_per_key(rows: Sequence[Any], key: Any, send: Any) -> None:
    """Send keys beside each other, and the rows of one key one after the other."""

    async def send_all(group: list[Any]) -> None:
        for row in group:
            await send(row)

    groups = [list(group) for _, group in groupby(sorted(rows, key=key), key)]
    for start in range(0, len(groups), KEYS_AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for group in groups[start : start + KEYS_AT_ONCE]:
                tasks.create_task(send_all(group))


class _WakeUp:
    """Tells the publisher's tasks that something was committed, or that it is time."""

    def __init__(self, database: Database, interval_s: float) -> None:
        self.database = database
        self.interval_s = interval_s
        self.subscribers: list[asyncio.Event] = []

    def subscribe(self) -> asyncio.Event:
        woken = asyncio.Event()
        self.subscribers.append(woken)
        return woken

    async def wait(self, woken: asyncio.Event) -> None:
        """Until something was committed, at most the interval."""
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), self.interval_s)

    async def listen(self) -> None:
        """Wake the subscribers after every commit, until cancelled."""
        if self.database.dialect == "sqlite":
            while True:
                await self.database.committed.wait()
                self.database.committed.clear()
                self._wake_all()
        async with self.database.engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            ended = asyncio.Event()
            driver.add_termination_listener(lambda *_: ended.set())
            try:
                await driver.add_listener(CHANNEL, lambda *_: self._wake_all())
                await ended.wait()
            finally:
                await connection.invalidate()  # never back to the pool with a listener on it
        raise ConnectionError("the database ended the session that listens for commits")

    def _wake_all(self) -> None:
        for woken in self.subscribers:
            woken.set()
