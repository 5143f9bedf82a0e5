"""The bus of a single process: state and events in one SQLite file, media in bounded memory."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from feedgate_kit.bus.journal import Append, Commit, Journal, Placed
from feedgate_kit.bus.ports import ClosedError, Tenure
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.bus.record_size import check_size, fits
from feedgate_kit.bus.ring import Rings, RingTail
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import BusError, PositionError
from feedgate_kit.topics import Topic, TopicError, find_topic, load_topics

READ_RECORDS = 500
"""Records returned at once; a reader that starts takes this many per turn of the journal."""
RECENT_RECORDS = 2_048
RECENT_BYTES = 4 * 1024 * 1024
"""Per topic, kept in memory so that readers at the end need no turn of the journal."""
CLEANING_S = 60.0

_T = TypeVar("_T")

logger = structlog.get_logger(__name__)


class EmbeddedBus:
    """Opens every topic of the catalogue in one process.

    Appends that arrive while another is being made durable share the next
    fsync. The file is touched by one thread of its own, never by the loop.

    Args:
        path: the file; None keeps everything in memory, without a thread, for tests.
        clock: ages records and pictures.
        topics: the packaged catalogue if left out.
    """

    def __init__(self, path: Path | None, clock: Clock, *, topics: Mapping[str, Topic] | None = None) -> None:
        self._clock = clock
        self._topics = load_topics() if topics is None else topics
        self._writer = _Writer(Journal(path), clock, self._topics)
        self._state_logs: dict[str, EmbeddedStateLog] = {}
        self._event_logs: dict[str, EmbeddedEventLog] = {}
        self._media_feeds: dict[str, EmbeddedMediaFeed] = {}

    async def start(self) -> None:
        """Open the file and forget what outlived its retention while nobody had it open.

        Raises:
            BusError: another process has it open.
        """
        await self._writer.start()

    def state_log(self, topic: str) -> "EmbeddedStateLog":
        if topic not in self._state_logs:
            self._state_logs[topic] = EmbeddedStateLog(self._writer, find_topic(self._topics, topic, "state"))
        return self._state_logs[topic]

    def event_log(self, topic: str) -> "EmbeddedEventLog":
        if topic not in self._event_logs:
            self._event_logs[topic] = EmbeddedEventLog(
                self._writer, find_topic(self._topics, topic, "events")
            )
        return self._event_logs[topic]

    def media_feed(self, topic: str) -> "EmbeddedMediaFeed":
        if topic not in self._media_feeds:
            self._media_feeds[topic] = EmbeddedMediaFeed(
                find_topic(self._topics, topic, "media"), self._clock
            )
        return self._media_feeds[topic]

    async def close(self) -> None:
        for feed in self._media_feeds.values():
            feed.close()
        await self._writer.close()


class EmbeddedStateLog:
    """The records of one state topic, compacted."""

    def __init__(self, writer: "_Writer", topic: Topic) -> None:
        self._writer = writer
        self._shelf = writer.shelf(topic)

    async def append(self, record: Record) -> None:
        check_size(record, self._shelf.topic)
        await self._writer.write(Append(self._shelf.topic.name, record))

    async def open_reader(self) -> "EmbeddedStateReader":
        await self._shelf.open()
        return EmbeddedStateReader(_Cursor(self._shelf, after=0))


class EmbeddedStateReader:
    """Reads one state log from its first record on."""

    def __init__(self, cursor: "_Cursor") -> None:
        self._cursor = cursor
        self._unread: list[Record] = []

    async def read(self) -> Sequence[Record]:
        if not self._unread:
            self._unread += [record for _, record in await self._cursor.read()]
        return self._take()

    async def read_to_end(self) -> Sequence[Record]:
        end = self._cursor.end
        while self._cursor.after < end:
            self._unread += [record for _, record in await self._cursor.read()]
        self._cursor.check_open()
        return self._take()

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        yield await self.read_to_end()

    async def close(self) -> None:
        self._cursor.close()

    def _take(self) -> list[Record]:
        taken, self._unread = self._unread, []
        return taken


class EmbeddedEventLog:
    """The records of one events topic, and how far its groups are."""

    def __init__(self, writer: "_Writer", topic: Topic) -> None:
        self._writer = writer
        self._shelf = writer.shelf(topic)
        self._groups: dict[str, _Group] = {}

    async def append(self, record: Record) -> None:
        check_size(record, self._shelf.topic)
        await self._writer.write(Append(self._shelf.topic.name, record))

    async def open_consumer(self, group: str, tenure: Tenure | None = None) -> "EmbeddedConsumer":
        """A member of `group`. Only its longest member is given records; the next one takes over."""
        await self._shelf.open()
        joined = self._groups.setdefault(group, _Group(group))
        consumer = EmbeddedConsumer(self._writer, self._shelf, joined, tenure)
        joined.members.append(consumer)
        return consumer

    async def end(self) -> str:
        await self._shelf.open()
        return str(self._shelf.end)

    async def check(self, position: str) -> None:
        await self._shelf.open()
        await self._place(position)

    async def tail(self, after: str | None) -> AsyncGenerator[StoredRecord, None]:
        await self._shelf.open()
        cursor = _Cursor(self._shelf, after=self._shelf.end if after is None else await self._place(after))
        try:
            while True:
                for position, record in await cursor.read():
                    yield StoredRecord(record, str(position))
        finally:
            cursor.close()

    async def _place(self, after: str) -> int:
        position = int(after) if after.isascii() and after.isdecimal() and len(after) < 19 else -1
        removed_through, held = await self._writer.ask(lambda journal: self._look_up(journal, position))
        if held or position == removed_through:
            return position
        if 0 <= position < removed_through:
            raise PositionError(f"records after position `{after}` have expired")
        raise PositionError(f"`{after}` is no position of `{self._shelf.topic.name}`")

    def _look_up(self, journal: Journal, position: int) -> tuple[int, bool]:
        name = self._shelf.topic.name
        return journal.removed_through(name), journal.holds(name, position)


class _Group:
    """Members in the order they came."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: deque[EmbeddedConsumer] = deque()
        self.generation = 0


class EmbeddedConsumer:
    """One member of a group, and the share it has in it: everything or nothing."""

    def __init__(self, writer: "_Writer", shelf: "_Shelf", group: _Group, tenure: Tenure | None) -> None:
        self.generation = 0
        self._writer = writer
        self._shelf = shelf
        self._group = group
        self._tenure = tenure
        self._cursor: _Cursor | None = None
        self._turn = asyncio.Event()
        self._closed = False

    def covers(self, key: str) -> bool:
        del key  # all of them
        return self._cursor is not None and not self._closed

    async def read(self) -> Sequence[StoredRecord]:
        while not self._closed and self._group.members[0] is not self:
            self._turn.clear()
            await self._turn.wait()
        if self._closed:
            raise ClosedError("consumer is closed")
        cursor = self._cursor or await self._take_over()
        return [StoredRecord(record, str(position)) for position, record in await cursor.read()]

    async def commit(self) -> None:
        if self._closed:
            raise ClosedError("consumer is closed")
        if self._cursor is not None:
            await self._writer.write(Commit(self._shelf.topic.name, self._group.name, self._cursor.after))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._group.members.remove(self)
        self._turn.set()
        if self._cursor is not None:
            self._cursor.close()
        if self._group.members:
            self._group.members[0].has_its_turn()

    def has_its_turn(self) -> None:
        """The member before this one has left."""
        self._turn.set()

    async def _take_over(self) -> "_Cursor":
        after = await self._writer.ask(self._starting_place)
        cursor = self._cursor = _Cursor(self._shelf, after=after)
        if self._closed:
            cursor.close()
            return cursor
        self.generation = self._group.generation = self._group.generation + 1
        if self._tenure is not None:
            await self._tenure.holder.hold(self)
        return cursor

    def _starting_place(self, journal: Journal) -> int:
        topic = self._shelf.topic.name
        if self._tenure is None:
            return journal.group_position(topic, self._group.name)
        since_us = self._writer.now_us() - round(self._tenure.replay_s * MICROSECONDS)
        return journal.position_before(topic, since_us)


class EmbeddedMediaFeed:
    """Coded video of one topic, in memory, for as long as somebody follows it."""

    def __init__(self, topic: Topic, clock: Clock) -> None:
        self._topic = topic
        # Half the limit leaves room for any key and for media's two headers: below it nothing is added up.
        self._surely_fits_bytes = topic.setting("max.message.bytes") // 2
        self._rings = Rings(clock)
        self._closed = False

    def offer(self, record: Record) -> bool:
        """False only for what is larger than the topic takes: the rings make room."""
        if self._closed or (len(record.value) > self._surely_fits_bytes and not fits(record, self._topic)):
            return False
        self._rings.push(record)
        return True

    async def open_tail(self, key: str) -> RingTail:
        if self._closed:
            raise ClosedError("bus is closed")
        return self._rings.open_tail(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        """At once: nothing of another stream is near."""
        del spare_s
        self._rings.forget(key)

    def close(self) -> None:
        self._closed = True
        self._rings.close()


class _Writer:
    """Hands what the loop wants to the journal's thread, and wakes readers when it is durable."""

    def __init__(self, journal: Journal, clock: Clock, topics: Mapping[str, Topic]) -> None:
        self.closed = False
        self._topics = topics
        self._journal = journal
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "feedgate-bus") if journal.path is not None else None
        self._shelves: dict[str, _Shelf] = {}
        self._waiting: list[tuple[Append | Commit, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._cleaned_s = float("-inf")

    async def start(self) -> None:
        await self.ask(Journal.open)
        for name in await self.ask(Journal.topics):
            try:
                # Also what nobody opens this time is cleaned: no agency of it may be viewing any more.
                self.shelf(find_topic(self._topics, name))
            except TopicError as error:
                logger.warning("records of a topic without retention stay in the bus file", cause=str(error))
        await self.ask(self._clean_if_due)
        for shelf in list(self._shelves.values()):
            await shelf.open()

    async def write(self, entry: Append | Commit) -> None:
        """Return once the entry is durable; entries keep the order of these calls."""
        if self.closed:
            raise ClosedError("bus is closed")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting(), name="embedded bus writes")
        await done

    async def ask(self, question: Callable[[Journal], _T]) -> _T:
        """The journal's answer, given by its own thread."""
        if self.closed:
            raise ClosedError("bus is closed")
        return await self._ask(question)

    def now_us(self) -> int:
        return self._clock.now_us()

    def shelf(self, topic: Topic) -> "_Shelf":
        if topic.name not in self._shelves:
            self._shelves[topic.name] = _Shelf(self, topic)
        return self._shelves[topic.name]

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._writing is not None:
            await self._writing
        for shelf in self._shelves.values():
            shelf.wake()
        await self._ask(Journal.close)
        if self._thread is not None:
            self._thread.shutdown()

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                positions = await self._ask(partial(self._write, [entry for entry, _ in batch]))
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            touched: set[_Shelf] = set()
            for (entry, done), position in zip(batch, positions, strict=True):
                if isinstance(entry, Append):
                    shelf = self._shelves[entry.topic]
                    shelf.put((position, entry.record))
                    touched.add(shelf)
                if not done.done():
                    done.set_result(None)
            for shelf in touched:
                shelf.wake()
            for shelf in self._shelves.values():
                shelf.drop_removed()

    def _write(self, entries: Sequence[Append | Commit], journal: Journal) -> list[int]:
        positions = journal.write(entries, self._clock.now_us())
        # The entries are durable: their writers and readers are told so whatever cleaning does.
        self._clean_if_due(journal)
        return positions

    def _clean_if_due(self, journal: Journal) -> None:
        if self._clock.monotonic_s() - self._cleaned_s < CLEANING_S:
            return
        try:
            self._clean(journal)
        except sqlite3.Error as error:
            self._cleaned_s = self._clock.monotonic_s()
            logger.warning("bus file not cleaned", cause=str(error), again_in_s=CLEANING_S)

    def _clean(self, journal: Journal) -> None:
        """Forget what the catalogue says may be forgotten; if much is due, again at the next write."""
        now_us = self._clock.now_us()
        done = True
        for shelf in list(self._shelves.values()):
            name, kept = shelf.topic.name, shelf.topic.setting
            if shelf.topic.kind == "state":
                lag_us = kept("min.compaction.lag.ms") * 1_000
                cleaned = journal.compact(name, now_us - lag_us, shelf.compacted_through)
                shelf.compacted_through = cleaned.through
            else:
                cleaned = journal.forget(name, now_us - kept("retention.ms") * 1_000)
                shelf.removed_through = cleaned.through
            done = done and cleaned.done
        if done:
            self._cleaned_s = self._clock.monotonic_s()

    async def _ask(self, question: Callable[[Journal], _T]) -> _T:
        try:
            if self._thread is None:
                return question(self._journal)
            return await asyncio.get_running_loop().run_in_executor(self._thread, question, self._journal)
        except sqlite3.Error as error:
            raise BusError(f"bus file does not answer: {error}") from error


class _Shelf:
    """The end of one topic as the loop sees it: its newest records and who waits for more."""

    def __init__(self, writer: _Writer, topic: Topic) -> None:
        self.topic = topic
        self.end = 0
        self.compacted_through = 0  # the journal's thread writes these two
        self.removed_through = 0
        self._writer = writer
        self._opened = False
        self._recent: deque[Placed] = deque()
        self._recent_after = 0
        self._recent_bytes = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def closed(self) -> bool:
        return self._writer.closed

    async def open(self) -> None:
        """Learn where the topic ends; what is appended meanwhile is not lost."""
        if self._opened:
            return
        end = await self._writer.ask(lambda journal: journal.end(self.topic.name))
        if not self._opened:
            self._opened = True
            if not self._recent:
                self._recent_after = end
            self.end = max(self.end, end)

    def put(self, placed: Placed) -> None:
        if not self._recent and not self._opened:
            self._recent_after = placed[0] - 1
        self.end = max(self.end, placed[0])
        self._recent.append(placed)
        self._recent_bytes += len(placed[1].value)
        while len(self._recent) > RECENT_RECORDS or self._recent_bytes > RECENT_BYTES:
            self._drop_first()

    def drop_removed(self) -> None:
        """What has expired in the file is not read from memory either."""
        while self._recent and self._recent[0][0] <= self.removed_through:
            self._drop_first()

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for reader in waiting:
            if not reader.done():
                reader.set_result(None)

    async def read(self, after: int) -> Sequence[Placed]:
        """Records after a position, from memory or the file; none if the topic ends there."""
        if after >= self.end:
            return []
        if after < self._recent_after:
            return await self._writer.ask(lambda journal: journal.read(self.topic.name, after, READ_RECORDS))
        newest: list[Placed] = []
        for placed in reversed(self._recent):
            if placed[0] <= after:
                break
            newest.append(placed)
        newest.reverse()
        return newest

    async def changed(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def _drop_first(self) -> None:
        self._recent_after, oldest = self._recent.popleft()
        self._recent_bytes -= len(oldest.value)


class _Cursor:
    """A place in one topic."""

    def __init__(self, shelf: _Shelf, after: int) -> None:
        self.after = after
        self._shelf = shelf
        self._closed = False

    @property
    def end(self) -> int:
        """Position of the last durable record."""
        return self._shelf.end

    async def read(self) -> Sequence[Placed]:
        """The next records, at least one."""
        while True:
            self.check_open()
            placed = await self._shelf.read(self.after)
            self.check_open()
            if placed:
                self.after = placed[-1][0]
                return placed
            if self.after < self._shelf.end:
                self.after = self._shelf.end  # everything up to it was removed
            else:
                await self._shelf.changed()

    def check_open(self) -> None:
        if self._closed or self._shelf.closed:
            raise ClosedError("reader is closed")

    def close(self) -> None:
        self._closed = True
        self._shelf.wake()
