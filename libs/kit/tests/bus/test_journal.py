"""What the embedded bus keeps, what it forgets, and who may open it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from feedgate_kit.bus.journal import Append, Commit, Journal, Placed
from feedgate_kit.bus.record import Record
from feedgate_kit.errors import BusError

TOPIC = "registry.camera.state.v1"
HOUR_US = 3_600_000_000


def opened(path: Path | None = None) -> Journal:
    journal = Journal(path)
    journal.open()
    return journal


def put(journal: Journal, *keys: str, at_us: int, topic: str = TOPIC) -> None:
    for key in keys:
        name, _, value = key.partition("=")
        journal.write([Append(topic, Record(name, value.encode()))], at_us)


def left(journal: Journal, topic: str = TOPIC) -> list[str]:
    return [f"{record.key}={record.value.decode()}" for _, record in journal.read(topic, 0, 100)]


def test_a_record_is_replaced_only_by_one_that_is_itself_old_enough() -> None:
    journal = opened()
    put(journal, "a=1", "b=1", at_us=0)
    put(journal, "a=2", at_us=HOUR_US)
    put(journal, "a=3", at_us=2 * HOUR_US)
    # a=2 is too young: removing a=1 for its sake could move a stop behind a heartbeat that vouched for it.
    assert journal.compact(TOPIC, HOUR_US, 0).done
    assert left(journal) == ["a=1", "b=1", "a=2", "a=3"]
    assert journal.compact(TOPIC, HOUR_US + 1, 0).done
    assert left(journal) == ["b=1", "a=2", "a=3"]
    assert journal.compact(TOPIC, 3 * HOUR_US, 0).done
    assert left(journal) == ["b=1", "a=3"]


def test_compaction_goes_on_where_it_stopped_and_misses_nothing() -> None:
    journal = opened()
    put(journal, "a=1", "b=1", at_us=0)
    first = journal.compact(TOPIC, 10, 0)
    put(journal, "b=2", at_us=20)
    second = journal.compact(TOPIC, 30, first.through)
    put(journal, "a=2", at_us=40)
    journal.compact(TOPIC, 50, second.through)
    assert left(journal) == ["b=2", "a=2"]


def test_compaction_of_much_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedgate_kit.bus.journal._FORGET_AT_ONCE", 3)
    journal = opened()
    put(journal, *(f"a={number}" for number in range(8)), at_us=0)
    parts = [journal.compact(TOPIC, 1, 0)]
    while not parts[-1].done:
        parts.append(journal.compact(TOPIC, 1, parts[-1].through))
    assert len(parts) == 3
    assert left(journal) == ["a=7"]


def test_compaction_leaves_other_topics_alone() -> None:
    journal = opened()
    put(journal, "a=1", at_us=0)
    put(journal, "a=2", at_us=0, topic="access-policy.grant.state.v1")
    journal.compact(TOPIC, 10, 0)
    assert left(journal) == ["a=1"]


def test_events_are_forgotten_from_the_start_and_positions_stay() -> None:
    journal = opened()
    put(journal, "a=1", "a=2", at_us=0)
    put(journal, "a=3", at_us=10)
    put(journal, "a=4", at_us=5)  # the clock was set back
    assert journal.forget(TOPIC, 7).done
    assert left(journal) == ["a=3", "a=4"]
    assert journal.removed_through(TOPIC) == 2
    assert journal.forget(TOPIC, 100).done
    assert left(journal) == []
    assert journal.end(TOPIC) == 4
    put(journal, "a=5", at_us=100)
    assert journal.read(TOPIC, 0, 10)[0][0] == 5


def test_forgetting_much_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedgate_kit.bus.journal._FORGET_AT_ONCE", 3)
    journal = opened()
    put(journal, *(f"a={number}" for number in range(8)), at_us=0)
    assert [journal.forget(TOPIC, 1).done for _ in range(3)] == [False, False, True]
    assert left(journal) == []


def test_a_batch_is_written_whole_or_not_at_all() -> None:
    journal = opened()
    batch = [Append(TOPIC, Record("a", b"1")), Append(TOPIC, Record("a", None))]  # type: ignore[arg-type]  # on purpose
    with pytest.raises(BusError, match="could not be written"):
        journal.write(batch, 0)
    assert left(journal) == []
    put(journal, "a=2", at_us=0)
    assert left(journal) == ["a=2"]


def test_what_was_written_is_there_after_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    program = f"""
import os, signal, sys
from pathlib import Path
from feedgate_kit.bus.journal import Append, Commit, Journal
from feedgate_kit.bus.record import Record
journal = Journal(Path({str(path)!r}))
journal.open()
journal.write([Append({TOPIC!r}, Record("a", b"1", {{"version": "1"}})), Commit({TOPIC!r}, "group", 1)], 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    journal = opened(path)
    assert journal.read(TOPIC, 0, 10) == [(1, Record("a", b"1", {"version": "1"}))]
    assert journal.group_position(TOPIC, "group") == 1
    journal.close()


def test_every_commit_is_synchronised_with_the_disk(tmp_path: Path) -> None:
    journal = opened(tmp_path / "bus.sqlite")
    (level,) = journal._sql.execute("PRAGMA synchronous").fetchone()
    (mode,) = journal._sql.execute("PRAGMA journal_mode").fetchone()
    assert (level, mode) == (2, "wal")  # 2 is FULL: the write-ahead log is synchronised at every commit
    journal.close()


def test_only_one_may_have_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    first = opened(path)
    with pytest.raises(BusError, match="locked"):
        opened(path)
    first.close()
    opened(path).close()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(BusError, match="has version 99; allowed: 1"):
        opened(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(BusError, match="cannot be opened"):
        opened(path)


def test_a_journal_that_is_not_open_says_so() -> None:
    with pytest.raises(BusError, match="not open"):
        Journal(None).read(TOPIC, 0, 1)


def test_groups_commit_apart(tmp_path: Path) -> None:
    journal = opened(tmp_path / "bus.sqlite")
    journal.write([Commit(TOPIC, "a", 5), Commit(TOPIC, "b", 3), Commit("other", "a", 9)], 0)
    journal.write([Commit(TOPIC, "a", 7)], 0)
    assert [journal.group_position(TOPIC, group) for group in ("a", "b", "c")] == [7, 3, 0]
    journal.close()


def test_reading_goes_on_after_a_position() -> None:
    journal = opened()
    put(journal, "a=1", "b=2", "a=3", at_us=0)
    first: list[Placed] = journal.read(TOPIC, 0, 2)
    assert [position for position, _ in first] == [1, 2]
    assert [position for position, _ in journal.read(TOPIC, 2, 2)] == [3]
    assert journal.holds(TOPIC, 2)
    assert not journal.holds("other", 2)
