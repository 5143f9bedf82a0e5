"""Decode, handle, commit: nothing is lost, nothing stands in the way for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.events import (
    CAUSE_CHARACTERS,
    CAUSE_HEADER,
    POSITION_HEADER,
    TOPIC_HEADER,
    cause,
    dead_letter,
    handle_events,
    may_pass,
)
from feedgate_kit.bus.faulty import Fault, FaultyBus
from feedgate_kit.bus.ports import ClosedError
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.errors import BusError, FeedgateError, UnreadableRecordError
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import DEMAND_EVENTS, dead_letters

DEAD_LETTERS = dead_letters(DEMAND_EVENTS)


class DatabaseDownError(FeedgateError):
    retriable: ClassVar[bool] = True


class Consumed:
    """A running loop, its bus and what its handler was given."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.bus = FaultyBus(EmbeddedBus(None, self.clock))
        self.handled: list[int] = []
        self.pauses: list[float] = []
        self.handle: Callable[[int], Awaitable[None]] = self.note
        self.loop: asyncio.Task[None] | None = None
        self.set_aside = 0

    async def note(self, number: int) -> None:
        self.handled.append(number)

    async def append(self, *numbers: int) -> None:
        for number in numbers:
            await self.bus.event_log(DEMAND_EVENTS).append(
                Record("camera", b"%d" % number, {"ce_id": str(number)})
            )

    def begin(self) -> asyncio.Task[None]:
        self.loop = asyncio.create_task(
            handle_events(
                self.bus.event_log(DEMAND_EVENTS),
                "ingest",
                self.decode,
                self.handle_as_told,
                self.bus.event_log(DEAD_LETTERS),
                self.clock,
                topic=DEMAND_EVENTS,
                pause=self.pause,
                on_dead_letter=self.count,
            )
        )
        return self.loop

    def count(self) -> None:
        self.set_aside += 1

    async def handle_as_told(self, number: int) -> None:
        await self.handle(number)

    async def end(self) -> None:
        assert self.loop is not None
        self.loop.cancel()
        await asyncio.wait({self.loop})

    async def restart(self) -> None:
        await self.end()
        self.begin()
        await settle()

    async def letters(self) -> list[Record]:
        reader = await self.bus.event_log(DEAD_LETTERS).open_consumer("operations")
        reading = asyncio.create_task(reader.read())
        await settle()
        found = [stored.record for stored in reading.result()] if reading.done() else []
        reading.cancel()
        await reader.close()
        return found

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    @staticmethod
    def decode(record: Record) -> int:
        if record.value == b"13":
            raise UnreadableRecordError("13 cannot be read")
        return int(record.value)


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.fixture
async def consumed() -> AsyncIterator[Consumed]:
    consumed = Consumed()
    await consumed.bus.start()
    yield consumed
    if consumed.loop is not None and not consumed.loop.done():
        await consumed.end()
    await consumed.bus.close()


async def test_what_was_handled_is_committed_and_does_not_come_again(consumed: Consumed) -> None:
    await consumed.append(1, 2)
    consumed.begin()
    await settle()
    await consumed.restart()
    await consumed.append(3)
    await settle()
    assert consumed.handled == [1, 2, 3]


async def test_what_is_being_handled_when_the_process_dies_comes_again(consumed: Consumed) -> None:
    async def hang(number: int) -> None:
        consumed.handled.append(number)
        if number == 2 and consumed.handled.count(2) == 1:
            await asyncio.Event().wait()

    consumed.handle = hang
    await consumed.append(1, 2, 3)
    consumed.begin()
    await settle()
    assert consumed.handled == [1, 2]
    await consumed.restart()
    assert consumed.handled == [1, 2, 1, 2, 3]


async def test_what_may_yet_succeed_is_tried_again_and_those_behind_it_wait(consumed: Consumed) -> None:
    failures = [DatabaseDownError("no connection"), OperationalError("", {}, Exception()), OSError("reset")]

    async def fail_at_first(number: int) -> None:
        if number == 1 and failures:
            raise failures.pop(0)
        consumed.handled.append(number)

    consumed.handle = fail_at_first
    await consumed.append(1, 2)
    consumed.begin()
    await settle()
    assert consumed.handled == [1, 2]
    assert len(consumed.pauses) == 3
    assert consumed.pauses[0] < consumed.pauses[2]
    assert await consumed.letters() == []


async def test_what_cannot_be_decoded_or_handled_is_set_aside_with_its_cause(consumed: Consumed) -> None:
    async def refuse(number: int) -> None:
        if number == 7:
            raise KeyError("value of the payload")
        if number == 8:
            raise FeedgateError("8 names no camera")
        consumed.handled.append(number)

    consumed.handle = refuse
    await consumed.append(7, 1, 13, 8, 2)
    consumed.begin()
    await settle()
    assert consumed.handled == [1, 2]
    letters = await consumed.letters()
    assert [(letter.value, letter.headers[CAUSE_HEADER]) for letter in letters] == [
        (b"7", "KeyError"),  # a foreign error may quote the payload
        (b"13", "13 cannot be read"),
        (b"8", "8 names no camera"),
    ]
    assert {letter.headers[TOPIC_HEADER] for letter in letters} == {DEMAND_EVENTS}
    assert [letter.headers["ce_id"] for letter in letters] == ["7", "13", "8"]
    assert len({letter.headers[POSITION_HEADER] for letter in letters}) == consumed.set_aside == 3
    assert consumed.pauses == []


async def test_nothing_is_committed_before_its_dead_letter_is_there(consumed: Consumed) -> None:
    consumed.bus.fail_next(DEAD_LETTERS, Fault.REFUSED, Fault.REFUSED)
    await consumed.append(13, 1)
    consumed.begin()
    await settle()
    assert len(consumed.pauses) == 2
    assert [letter.value for letter in await consumed.letters()] == [b"13"]
    assert consumed.handled == [1]


async def test_a_commit_that_fails_costs_a_repetition_and_nothing_else(consumed: Consumed) -> None:
    consumed.begin()
    await settle()

    async def freeze(number: int) -> None:
        consumed.handled.append(number)
        consumed.bus.freeze(DEMAND_EVENTS)

    consumed.handle = freeze
    await consumed.append(1)
    await settle()
    assert consumed.handled == [1]
    consumed.handle = consumed.note
    await consumed.bus.thaw(DEMAND_EVENTS)
    await consumed.append(2)
    await settle()
    assert consumed.handled == [1, 2]


async def test_a_closed_bus_ends_the_loop(consumed: Consumed) -> None:
    loop = consumed.begin()
    await settle()
    await consumed.bus.close()
    with pytest.raises(ClosedError):
        await loop


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (DatabaseDownError("no connection"), True),
        (BusError("no answer"), True),
        (ClosedError("closed"), False),
        (UnreadableRecordError("not a message"), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OperationalError("", {}, Exception()), True),
        (IntegrityError("", {}, Exception()), False),
        (KeyError("camera"), False),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_which_errors_may_pass(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_a_dead_letter_is_the_record_and_its_cause() -> None:
    stored = StoredRecord(Record("camera", b"\x00", {"ce_id": "1"}), "0:7")
    letter = dead_letter(stored, DEMAND_EVENTS, FeedgateError("x" * 5_000))
    headers: dict[str, Any] = dict(letter.headers)
    assert (letter.key, letter.value) == ("camera", b"\x00")
    assert headers.pop(CAUSE_HEADER) == "x" * CAUSE_CHARACTERS
    assert headers == {"ce_id": "1", TOPIC_HEADER: DEMAND_EVENTS, POSITION_HEADER: "0:7"}
    assert cause(ValueError("rtsp://user:password@10.0.0.5/")) == "ValueError"
