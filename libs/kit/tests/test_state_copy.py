import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.state_copy import StateCopy, follow_state, protobuf_decoder
from feedgate_kit.stepped_clock import SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def copy(clock: SteppedClock) -> StateCopy[StringValue]:
    return StateCopy(protobuf_decoder(StringValue), clock)


def state(key: str, version: int | str, value: bytes | None = None) -> Record:
    made = StringValue(value=f"{key}{version}").SerializeToString() if value is None else value
    return Record(key, made, {VERSION_HEADER: str(version)})


def beat(as_of_us: int) -> Record:
    heartbeat = Heartbeat()
    heartbeat.as_of.FromMicroseconds(as_of_us)
    return Record(HEARTBEAT_KEY, heartbeat.SerializeToString())


UNREADABLE = b"\xff\xff\xff"


def value_of(copy: StateCopy[StringValue], key: str) -> str | None:
    value = copy.get(key)
    return None if value is None else value.value


def test_the_highest_version_stays_whatever_comes_last(copy: StateCopy[StringValue]) -> None:
    for version in (1, 7, 6, 7, 2):
        copy.apply(state("a", version))
    assert value_of(copy, "a") == "a7"


def test_only_a_change_is_told(copy: StateCopy[StringValue], clock: SteppedClock) -> None:
    assert copy.apply(state("a", 2)) == "a"
    assert copy.apply(state("a", 2)) is None
    assert copy.apply(state("a", 1)) is None
    assert copy.apply(beat(clock.now_us())) is None


def test_a_missing_record_denies(copy: StateCopy[StringValue]) -> None:
    assert copy.get("a") is None


def test_an_unreadable_record_denies_its_key_and_never_leaves_the_old_value(
    copy: StateCopy[StringValue],
) -> None:
    copy.apply(state("a", 3))
    assert copy.apply(state("a", 4, UNREADABLE)) == "a"
    assert copy.get("a") is None
    copy.apply(state("a", 3))
    copy.apply(state("a", 4))
    assert copy.get("a") is None, "only a higher version lifts it"
    copy.apply(state("a", 5))
    assert value_of(copy, "a") == "a5"


@pytest.mark.parametrize("version", ["", "-1", "three", "1e3", "²"])
def test_a_record_without_a_readable_version_denies_until_a_higher_one(
    copy: StateCopy[StringValue], version: str
) -> None:
    copy.apply(state("a", 3))
    copy.apply(state("a", version))
    assert copy.get("a") is None
    copy.apply(state("a", 3))
    assert copy.get("a") is None
    copy.apply(state("a", 4))
    assert value_of(copy, "a") == "a4"


def test_an_unreadable_old_record_denies_until_the_newest_comes_again(copy: StateCopy[StringValue]) -> None:
    copy.apply(state("a", 7))
    copy.apply(state("a", 4, UNREADABLE))
    assert copy.get("a") is None
    copy.apply(state("a", 6))
    assert copy.get("a") is None
    copy.apply(state("a", 7))  # the publisher read version 4 back and sent the newest again
    assert value_of(copy, "a") == "a7"


def test_one_unreadable_key_leaves_the_others_alone(copy: StateCopy[StringValue]) -> None:
    copy.apply(state("b", 1))
    copy.apply(state("a", 1, UNREADABLE))
    assert value_of(copy, "b") == "b1"
    assert copy.unreadable == 1


def test_a_copy_without_a_heartbeat_is_not_fresh(copy: StateCopy[StringValue]) -> None:
    copy.apply(state("a", 1))
    assert not copy.is_fresh(skew_us=0)


def test_a_heartbeat_vouches_for_less_than_four_seconds(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    copy.apply(beat(clock.now_us()))
    clock.advance(3.999)
    assert copy.is_fresh(skew_us=0)
    clock.advance(0.001)
    assert not copy.is_fresh(skew_us=0)


def test_a_clock_set_back_does_not_stretch_a_heartbeat(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    copy.apply(beat(clock.now_us()))
    clock.advance(4)
    clock.step(-3)
    assert not copy.is_fresh(skew_us=500_000)


def test_a_heartbeat_from_further_ahead_than_the_skew_is_not_fresh(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    copy.apply(beat(clock.now_us() + 500_000))
    assert copy.is_fresh(skew_us=500_000)
    copy.apply(beat(clock.now_us() + 500_001))
    assert not copy.is_fresh(skew_us=500_000)


def test_a_publisher_whose_clock_was_ahead_and_was_set_right_is_believed_again(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    copy.apply(beat(clock.now_us() + 3_600 * MICROSECONDS))
    assert not copy.is_fresh(skew_us=500_000)
    copy.apply(beat(clock.now_us()))
    assert copy.is_fresh(skew_us=500_000)


def test_an_unreadable_heartbeat_is_none(copy: StateCopy[StringValue], clock: SteppedClock) -> None:
    copy.apply(beat(clock.now_us()))
    clock.advance(3)
    copy.apply(Record(HEARTBEAT_KEY, UNREADABLE))
    clock.advance(1)
    assert not copy.is_fresh(skew_us=0)


def test_how_far_clocks_differ_is_told_by_the_newest_heartbeat_when_it_was_read(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    assert copy.offset_us is None
    copy.apply(beat(clock.now_us() + 300_000))
    clock.advance(3)
    assert copy.offset_us == -300_000
    copy.apply(beat(clock.now_us() - 20_000))
    assert copy.offset_us == 20_000


class LogInPieces:
    """A state log and its reader: its records to the end come piece by piece, later ones never."""

    def __init__(self, *pieces: Sequence[Record]) -> None:
        self.pieces = pieces
        self.seen_between: list[bool] = []
        self.copy: StateCopy[StringValue]

    async def append(self, record: Record) -> None:
        raise NotImplementedError

    async def open_reader(self) -> "LogInPieces":
        return self

    async def read(self) -> Sequence[Record]:
        return await asyncio.Future()

    async def read_to_end(self) -> Sequence[Record]:
        return [record for piece in self.pieces for record in piece]

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        for piece in self.pieces:
            yield piece
            self.seen_between.append(self.copy.is_fresh(skew_us=0))

    async def close(self) -> None:
        pass


async def test_what_is_read_in_pieces_is_fresh_only_when_its_changes_have_been_told(
    copy: StateCopy[StringValue], clock: SteppedClock
) -> None:
    """A view whose window was worked out before would go on showing, vouched for by a heartbeat after the stop."""
    log = LogInPieces([state("a", 2), beat(clock.now_us())], [state("b", 1)])
    log.copy = copy
    told: list[tuple[set[str], bool]] = []
    done = asyncio.Event()

    def note(keys: Collection[str]) -> None:
        told.append((set(keys), copy.is_fresh(skew_us=0)))
        done.set()

    following = asyncio.create_task(follow_state(log, copy, note))
    await done.wait()
    following.cancel()
    assert log.seen_between == [False, False]
    assert told == [({"a", "b"}, True)]
