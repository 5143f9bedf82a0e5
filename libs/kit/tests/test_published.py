"""A restored database is held against the highest version of each key, as readers keep it."""

import pytest

from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.errors import UnreadableRecordError
from feedgate_kit.published import Published, newest_of


def decode(value: bytes) -> str:
    if value == b"?":
        raise UnreadableRecordError("not a word")
    return value.decode()


def said(key: str, version: int | str, value: str) -> Record:
    return Record(key, value.encode(), {VERSION_HEADER: str(version)})


@pytest.mark.parametrize(
    ("records", "newest"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(
            [said("a", 1, "on"), said("a", 2, "off"), said("b", 9, "on")],
            {"a": Published(2, "off"), "b": Published(9, "on")},
            id="each key's last",
        ),
        pytest.param(
            [said("a", 2, "off"), said("a", 1, "on")],
            {"a": Published(2, "off")},
            id="the highest, not the last",
        ),
        pytest.param(
            [said("a", 1, "on"), said("a", 10, "off"), said("a", 9, "on")],
            {"a": Published(10, "off")},
            id="versions are numbers",
        ),
        pytest.param(
            [said("a", 1, "on"), said("a", 2, "?")], {"a": Published(2, None)}, id="unreadable shows nothing"
        ),
        pytest.param(
            [said("a", 1, "on"), said("a", "?", "off"), Record("a", b"off", {})],
            {"a": Published(1, "on")},
            id="without a version it is nobody's",
        ),
        pytest.param([said(HEARTBEAT_KEY, 7, "now")], {}, id="heartbeats are no keys"),
    ],
)
def test_the_highest_version_of_each_key(records: list[Record], newest: dict[str, Published[str]]) -> None:
    assert newest_of(records, decode) == newest
