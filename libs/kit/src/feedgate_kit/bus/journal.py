"""The SQLite file under the embedded bus: logs, group positions, and what may be forgotten."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedgate_kit.bus.record import NO_HEADERS, Record
from feedgate_kit.errors import BusError

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE record (
    position INTEGER PRIMARY KEY AUTOINCREMENT, -- one order over all topics; never used again
    topic TEXT NOT NULL,
    record_key TEXT NOT NULL,
    value BLOB NOT NULL CHECK (typeof(value) = 'blob'),
    headers TEXT NOT NULL, -- JSON object
    appended_at_us INTEGER NOT NULL
);
CREATE INDEX record_by_topic ON record (topic, position);
CREATE INDEX record_by_key ON record (topic, record_key, position);
CREATE TABLE topic_start (topic TEXT PRIMARY KEY, removed_through INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE group_position (
    topic TEXT NOT NULL,
    group_name TEXT NOT NULL,
    position INTEGER NOT NULL, -- of the last record the group is done with
    PRIMARY KEY (topic, group_name)
) WITHOUT ROWID;
"""
_FORGET_AT_ONCE = 5_000
"""Records removed in one transaction; appends wait for no more than this."""

_BEYOND = (1 << 63) - 1
"""After every position."""

Placed = tuple[int, Record]
"""A record and its position."""


@dataclass(frozen=True, slots=True)
class Append:
    """A record to add at the end of its topic."""

    topic: str
    record: Record


@dataclass(frozen=True, slots=True)
class Commit:
    """A group is done with every record up to `position`."""

    topic: str
    group: str
    position: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Up to where a topic was cleaned, and whether that was all that was due."""

    through: int
    done: bool


class Journal:
    """One connection, for one thread at a time; every method blocks.

    The file is locked while it is open: a second process, or a second journal
    in this one, is refused.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path  # None: in memory, gone when closed
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it.

        Raises:
            BusError: it is open elsewhere, cannot be opened or was made by another version.
        """
        name = ":memory:" if self.path is None else str(self.path)
        connection = sqlite3.connect(name, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            version = _prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise BusError(f"bus file `{name}` cannot be opened: {error}") from error
        if version != SCHEMA_VERSION:
            connection.close()
            raise BusError(f"bus file `{name}` has version {version}; allowed: {SCHEMA_VERSION}")
        self._connection = connection

    def write(self, entries: Sequence[Append | Commit], now_us: int) -> list[int]:
        """Write all entries in one transaction; durable when this returns.

        Returns:
            The position of each entry.
        """
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            positions = [self._write(entry, now_us) for entry in entries]
            self._sql.execute("COMMIT")
        except sqlite3.Error as error:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise BusError(f"bus file could not be written: {error}") from error
        return positions

    def read(self, topic: str, after: int, limit: int) -> list[Placed]:
        """The next records of a topic, in order."""
        rows = self._sql.execute(
            "SELECT position, record_key, value, headers FROM record"
            " WHERE topic = ? AND position > ? ORDER BY position LIMIT ?",
            (topic, after, limit),
        )
        return [(position, Record(key, value, _headers(headers))) for position, key, value, headers in rows]

    def topics(self) -> list[str]:
        """Every topic that has records, by name."""
        found: list[str] = []
        while True:
            # One step of the index each: DISTINCT would walk through all records.
            (name,) = self._sql.execute(
                "SELECT min(topic) FROM record WHERE topic > ?", (found[-1] if found else "",)
            ).fetchone()
            if name is None:
                return found
            found.append(name)

    def end(self, topic: str) -> int:
        """Position of the last record the topic ever had; 0 where it had none."""
        (last,) = self._sql.execute("SELECT max(position) FROM record WHERE topic = ?", (topic,)).fetchone()
        return int(last or self.removed_through(topic))

    def removed_through(self, topic: str) -> int:
        """Position of the last record retention took; what lies after it is there."""
        row = self._sql.execute(
            "SELECT removed_through FROM topic_start WHERE topic = ?", (topic,)
        ).fetchone()
        return int(row[0]) if row else 0

    def holds(self, topic: str, position: int) -> bool:
        """Whether the topic has a record at exactly this position."""
        found = self._sql.execute("SELECT 1 FROM record WHERE position = ? AND topic = ?", (position, topic))
        return found.fetchone() is not None

    def group_position(self, topic: str, group: str) -> int:
        """What the group committed last; 0 where it committed nothing."""
        found = self._sql.execute(
            "SELECT position FROM group_position WHERE topic = ? AND group_name = ?", (topic, group)
        )
        row = found.fetchone()
        return int(row[0]) if row else 0

    def position_before(self, topic: str, arrived_us: int) -> int:
        """Of the last record of a topic that arrived before `arrived_us`, or of any place up to the next."""
        return min(self._first_since(topic, 0, arrived_us) - 1, self.end(topic))

    def forget(self, topic: str, arrived_before_us: int) -> Forgotten:
        """Remove from the start of an events topic what has outlived its retention."""
        kept_from = self._first_since(topic, 0, arrived_before_us)
        rows = self._sql.execute(
            "SELECT position FROM record WHERE topic = ? AND position < ? ORDER BY position LIMIT ?",
            (topic, kept_from, _FORGET_AT_ONCE),
        ).fetchall()
        if not rows:
            return Forgotten(self.removed_through(topic), done=True)
        through = rows[-1][0]
        self._sql.execute("BEGIN IMMEDIATE")
        with self._sql:
            self._sql.execute("DELETE FROM record WHERE topic = ? AND position <= ?", (topic, through))
            self._sql.execute("INSERT OR REPLACE INTO topic_start VALUES (?, ?)", (topic, through))
        return Forgotten(through, done=len(rows) < _FORGET_AT_ONCE)

    def compact(self, topic: str, arrived_before_us: int, compacted_through: int) -> Forgotten:
        """Remove from a state topic what a later record of the same key replaced.

        Only a record that is itself older than `arrived_before_us` removes its
        predecessors, as `min.compaction.lag.ms` has it; what stays keeps its order.

        Args:
            topic: the state topic.
            arrived_before_us: from here on records remove nothing.
            compacted_through: what the call before this one answered; 0 for the first.
        """
        until = self._first_since(topic, compacted_through, arrived_before_us)
        rows = self._sql.execute(
            "SELECT position FROM record WHERE topic = ? AND position > ? AND position < ?"
            " ORDER BY position LIMIT ?",
            (topic, compacted_through, until, _FORGET_AT_ONCE),
        ).fetchall()
        if not rows:
            return Forgotten(compacted_through, done=True)
        through = rows[-1][0]
        self._sql.execute("BEGIN IMMEDIATE")
        with self._sql:
            # Up to `compacted_through` each key has one record, so each later one removes one.
            self._sql.execute(
                "DELETE FROM record WHERE position IN (SELECT"
                " (SELECT max(older.position) FROM record AS older WHERE older.topic = newer.topic"
                " AND older.record_key = newer.record_key AND older.position < newer.position)"
                " FROM record AS newer WHERE newer.topic = ? AND newer.position > ? AND newer.position <= ?)",
                (topic, compacted_through, through),
            )
        return Forgotten(through, done=len(rows) < _FORGET_AT_ONCE)

    def close(self) -> None:
        """Close the file; the lock goes with it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _sql(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BusError("bus file is not open")
        return self._connection

    def _first_since(self, topic: str, after: int, arrived_us: int) -> int:
        """Position of the first record after `after` that arrived at `arrived_us` or later."""
        row = self._sql.execute(
            "SELECT position FROM record WHERE topic = ? AND position > ? AND appended_at_us >= ?"
            " ORDER BY position LIMIT 1",
            (topic, after, arrived_us),
        ).fetchone()
        return int(row[0]) if row else _BEYOND

    def _write(self, entry: Append | Commit, now_us: int) -> int:
        if isinstance(entry, Commit):
            self._sql.execute(
                "INSERT OR REPLACE INTO group_position VALUES (?, ?, ?)",
                (entry.topic, entry.group, entry.position),
            )
            return entry.position
        record = entry.record
        headers = json.dumps(dict(record.headers)) if record.headers else "{}"
        inserted = self._sql.execute(
            "INSERT INTO record (topic, record_key, value, headers, appended_at_us) VALUES (?, ?, ?, ?, ?)",
            (entry.topic, record.key, record.value, headers, now_us),
        )
        assert inserted.lastrowid is not None
        return inserted.lastrowid


def _prepare(connection: sqlite3.Connection) -> int:
    """Lock the file, make the tables of a new one, and say which version it has."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    connection.execute("BEGIN EXCLUSIVE")
    with connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            version = SCHEMA_VERSION
    return int(version)


def _headers(text: str) -> Mapping[str, str]:
    if text == "{}":
        return NO_HEADERS
    headers: dict[str, str] = json.loads(text)
    return headers
