"""One publisher per service: what was committed goes to the bus, and nothing else does.

Request handlers never publish: two of them could commit versions 6 and 7 and
publish 7 and 6, and the last one written would bring a withdrawn authorisation
back. What a turn does, and why in that order, stands in `state_turns`.

An event that its topic will never take is set aside, for behind it waits every
other; a state record never is, for heartbeats vouch for what lies before them.
"""

import asyncio
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

import structlog
from sqlalchemy import delete, select

from feedgate_kit.bus.events import cause, dead_letter
from feedgate_kit.bus.ports import Bus, ClosedError
from feedgate_kit.bus.record import StoredRecord
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.outbox import CHANNEL, Outbox, stored_record
from feedgate_kit.owed_stops import OwedStops
from feedgate_kit.publisher_lock import LockSession, lock_name, publisher_lock
from feedgate_kit.state_turns import Sent, StateTurns, in_order_per_key
from feedgate_kit.topics import dead_letters

HEARTBEAT_S = 0.5
EVENTS_AT_ONCE = 200

logger = structlog.get_logger(__name__)


class PublisherMetrics(Sent, Protocol):
    """Told of what a publisher does, besides what it sent."""

    def publishing(self, active: bool) -> None: ...

    def events_waiting(self, count: int) -> None: ...


class _NoMetrics:
    def publishing(self, active: bool) -> None:
        pass

    def events_waiting(self, count: int) -> None:
        pass

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
        state_topic: str,
        owed: OwedStops,
        metrics: PublisherMetrics | None = None,
        interval_s: float = HEARTBEAT_S,
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            database: where the outbox lies.
            outbox: its tables and the service's name.
            bus: where records go.
            clock: stamps heartbeats.
            state_topic: the one state topic this service owns.
            owed: no heartbeat is sent while there is a stop that is not on record.
            metrics: told of what was sent, what waits, and whether this process publishes.
            interval_s: between two heartbeats where nothing happens.
        """
        self.database = database
        self.outbox = outbox
        self.bus = bus
        self.clock = clock
        self.state_topic = state_topic
        self.owed = owed
        self.metrics = metrics or _NoMetrics()
        self.interval_s = interval_s
        self.heartbeat_sent = asyncio.Event()
        self.stuck_events: set[int] = set()
        """Rows that neither their topic nor its dead letters take; they stay in the outbox."""

    async def run(self) -> None:
        """Wait for the lock, then publish until cancelled.

        Raises:
            ExceptionGroup: of a `LockLostError`, a `BusError` or what the database raised. Start
                again; the next run reads everything back.
        """
        async with publisher_lock(self.database, lock_name(self.outbox.source)) as session:
            wake_up = _WakeUp(self.database, self.interval_s)
            self.metrics.publishing(True)
            try:
                async with asyncio.TaskGroup() as tasks:  # one failing ends this run whole, on purpose
                    tasks.create_task(wake_up.listen())
                    tasks.create_task(self._forward_events(wake_up))
                    tasks.create_task(self._publish_state(session, wake_up))
            finally:
                self.metrics.publishing(False)

    async def _publish_state(self, session: LockSession, wake_up: "_WakeUp") -> None:
        turns = StateTurns(
            database=self.database,
            outbox=self.outbox,
            log=self.bus.state_log(self.state_topic),
            clock=self.clock,
            topic=self.state_topic,
            session=session,
            is_owing=partial(self.owed.is_owing, session),
            sent=_HeartbeatNoted(self),
        )
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
                oldest = select(table).where(table.c.id.not_in(self.stuck_events)).order_by(table.c.id)
                rows = (await connection.execute(oldest.limit(EVENTS_AT_ONCE))).all()
            self.metrics.events_waiting(len(rows) + len(self.stuck_events))
            if not rows:
                await wake_up.wait(woken)
                continue
            await in_order_per_key(rows, attrgetter("topic", "record_key"), self._append_event)
            async with self.database.begin() as connection:
                done = {row.id for row in rows} - self.stuck_events
                await connection.execute(delete(table).where(table.c.id.in_(done)))

    async def _append_event(self, row: Any) -> None:
        try:
            await self.bus.event_log(row.topic).append(stored_record(row))
        except FeedgateError as error:
            if not _is_refusal(error):
                raise
            await self._set_aside(row, error)

    async def _set_aside(self, row: Any, refusal: FeedgateError) -> None:
        told = {"topic": row.topic, "outbox_event": row.id, "error": cause(refusal)}
        letter = dead_letter(StoredRecord(stored_record(row), f"outbox_event:{row.id}"), row.topic, refusal)
        try:
            await self.bus.event_log(dead_letters(row.topic)).append(letter)
        except FeedgateError as error:
            if not _is_refusal(error):
                raise
            self.stuck_events.add(row.id)
            logger.error("event stays in the outbox: its topic's dead letters refuse it too", **told)  # noqa: TRY400 - the cause is told, and a trace adds nothing
        else:
            logger.warning("event set aside", **told)


def _is_refusal(error: FeedgateError) -> bool:
    """Whether asking again would bring the same answer, although the bus is open."""
    return not error.retriable and not isinstance(error, ClosedError)


class _HeartbeatNoted:
    """Passes on what was sent, and notes the heartbeat for readiness."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    def heartbeat_sent(self, as_of_us: int) -> None:
        self.publisher.heartbeat_sent.set()
        self.publisher.metrics.heartbeat_sent(as_of_us)

    def records_sent(self, count: int, *, again: bool) -> None:
        self.publisher.metrics.records_sent(count, again=again)


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
        # Not wait_for: on Python 3.11 it swallows a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.interval_s):
                await woken.wait()

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
                await driver.execute("SET idle_session_timeout = 0")  # it only listens, perhaps for hours
                await driver.add_listener(CHANNEL, lambda *_: self._wake_all())
                await ended.wait()
            finally:
                await connection.invalidate()  # never back to the pool with a listener on it
        raise ConnectionError("the database ended the session that listens for commits")

    def _wake_all(self) -> None:
        for woken in self.subscribers:
            woken.set()
