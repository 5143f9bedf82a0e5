"""The loop of every consumer of events: decode, handle, commit."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

from feedgate_kit.bus.ports import EventLog, Tenure
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError, FeedgateError, UnreadableRecordError
from feedgate_kit.supervise import Pause, pauses

CAUSE_HEADER = "dlq-cause"
TOPIC_HEADER = "dlq-topic"
POSITION_HEADER = "dlq-position"
CAUSE_CHARACTERS = 1_000

M = TypeVar("M")

_log = structlog.get_logger()


async def handle_events(
    log: EventLog,
    group: str,
    decode: Callable[[Record], M],
    handle: Callable[[M], Awaitable[None]],
    dead_letters: EventLog,
    clock: Clock,
    *,
    topic: str,
    tenure: Tenure | None = None,
    pause: Pause = asyncio.sleep,
    on_dead_letter: Callable[[], None] = lambda: None,
) -> None:
    """Handle every record at least once, in order per key, until cancelled or closed.

    A record that cannot be decoded, or whose handling fails for good, is copied
    to the dead letters with its cause; one whose handling may yet succeed is
    tried again, with growing pauses, and those behind it wait. Nothing is
    committed before it was handled or copied.

    Args:
        log: what to consume.
        group: whose progress is committed.
        decode: makes the message; raises `UnreadableRecordError` where it cannot.
        handle: is given the message, perhaps more than once.
        dead_letters: takes what cannot be handled.
        clock: tells the log how long a record has been held up.
        topic: of `log`, for the dead letters' headers.
        tenure: who is told which keys are this member's.
        pause: waits between two tries.
        on_dead_letter: called for each record set aside.

    Raises:
        BusError: the log could not be read; what was not committed comes again.
    """
    consumer = await log.open_consumer(group, tenure)
    try:
        while True:
            for stored in await consumer.read():
                error = await _handled(stored, decode, handle, clock, topic, pause)
                if error is not None:
                    on_dead_letter()
                    _log.warning("event set aside", topic=topic, position=stored.position, error=cause(error))
                    letter = dead_letter(stored, topic, error)
                    await _persist(partial(dead_letters.append, letter), clock, topic, pause)
            try:
                await consumer.commit()
            except BusError as error:
                if not error.retriable:
                    raise
                _log.warning("progress not committed; events will come again", topic=topic, error=str(error))
    finally:
        await consumer.close()


def dead_letter(stored: StoredRecord, topic: str, error: Exception) -> Record:
    """A copy of the record for the dead letters of `topic`."""
    told = {CAUSE_HEADER: cause(error), TOPIC_HEADER: topic, POSITION_HEADER: stored.position}
    return Record(stored.record.key, stored.record.value, {**stored.record.headers, **told})


def cause(error: Exception) -> str:
    """What may be told of an error: foreign ones may quote the payload, so only their type."""
    text = str(error) if isinstance(error, FeedgateError) else type(error).__name__
    return text[:CAUSE_CHARACTERS]


def may_pass(error: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(error, FeedgateError):
        return error.retriable
    return isinstance(error, OSError | OperationalError | InterfaceError)


async def _handled(
    stored: StoredRecord,
    decode: Callable[[Record], M],
    handle: Callable[[M], Awaitable[None]],
    clock: Clock,
    topic: str,
    pause: Pause,
) -> Exception | None:
    """Handle one record; the error that makes it a dead letter, if any."""
    try:
        message = decode(stored.record)
    except UnreadableRecordError as error:
        return error
    try:
        await _persist(partial(handle, message), clock, topic, pause)
    except Exception as error:  # noqa: BLE001 - foreign code; one bad record must not stop the rest
        return error
    return None


async def _persist(attempt: Callable[[], Awaitable[None]], clock: Clock, topic: str, pause: Pause) -> None:
    """Try until it succeeds or fails for good."""
    began_s = clock.monotonic_s()
    waits = pauses()
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not may_pass(error):
                raise
            wait_s = next(waits)
            held_s = round(clock.monotonic_s() - began_s, 2)
            _log.warning("event held up", topic=topic, error=cause(error), held_s=held_s, again_in_s=wait_s)
            await pause(wait_s)
