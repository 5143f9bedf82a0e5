"""Frame events over HTTP, for agencies without Kafka: Server-Sent Events that can be resumed."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.bus.ports import Bus, EventLog
from feedgate_kit.bus.record import StoredRecord
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import BusError, PositionError
from feedgate_kit.identity import SystemAccount
from feedgate_kit.problems import Problem
from feedgate_kit.topics import TopicError, frame_events

HEARTBEAT_S: Final = 15.0
"""Proxies cut connections that are silent for a minute."""
HEARTBEAT: Final = b": heartbeat\n\n"
MAXIMUM_POSITION_CHARS: Final = 200
MAXIMUM_STREAMS: Final = 20
"""Of one agency at once: each reads the log by itself."""


class EventStreams:
    """`GET /relay/v1/events`."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._stopping = asyncio.Event()
        self._open: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._reading: set[asyncio.Task[None]] = set()

    def routes(self) -> APIRouter:
        router = APIRouter(prefix="/relay/v1")
        router.add_api_route("/events", self.events, methods=["GET"], response_class=StreamingResponse)
        return router

    def stop(self) -> None:
        """End every stream; clients resume with `Last-Event-ID` elsewhere or later."""
        self._stopping.set()

    async def events(
        self,
        caller: SystemAccount,
        last_event_id: Annotated[str | None, Header(max_length=MAXIMUM_POSITION_CHARS)] = None,
    ) -> StreamingResponse:
        """The agency's frame events and notices, from now on or after `Last-Event-ID`.

        The first message is the position it begins after, without an event: a connection
        that breaks before its first event is resumed from there, too (HTML Standard §9.2.6).
        The stream ends when the token expires; the client resumes with a fresh one.
        """
        try:
            topic = frame_events(caller.agency or "")
            log = self._bus.event_log(topic)
        except TopicError as error:
            raise Problem(403, "agency-unknown", detail="the token names no agency with a topic") from error
        after = await self._position(topic, log, last_event_id)
        return StreamingResponse(
            self._stream(topic, after, caller.expires_at),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _position(self, topic: str, log: EventLog, asked: str | None) -> str:
        """Where to begin, if there is room: who asks counts before the bus is asked for them."""
        taken = self._open[topic] + self._asked[topic]
        if taken >= MAXIMUM_STREAMS:
            raise Problem(
                429,
                "too-many-streams",
                detail=f"this agency has {taken} streams open here; allowed: {MAXIMUM_STREAMS}",
            )
        self._asked[topic] += 1
        try:
            if asked is None:
                return await log.end()
            await log.check(asked)
        except PositionError as error:
            raise Problem(
                409,
                "position-unknown",
                detail="the log does not hold this `Last-Event-ID`; begin again without one",
            ) from error
        finally:
            self._asked[topic] -= 1
        return asked

    async def _stream(self, topic: str, after: str, until_us: int) -> AsyncGenerator[bytes, None]:
        # Begun here and not before: of a client that has gone already, this is never begun.
        records: asyncio.Queue[StoredRecord] = asyncio.Queue(maxsize=1)
        reading = self._read_into(records, topic, after)
        coming = asyncio.ensure_future(records.get())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            yield f"id: {after}\n\n".encode()
            while (left_us := until_us - self._clock.now_us()) > 0:
                wait_s = min(HEARTBEAT_S, left_us / MICROSECONDS)
                awaited: set[asyncio.Future[Any]] = {coming, reading, stopping}
                await asyncio.wait(awaited, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                if coming.done():
                    message = server_sent_event(coming.result())
                    coming = asyncio.ensure_future(records.get())
                    if message is not None:
                        yield message
                elif reading.done():
                    return  # the client comes again with the last id it has
                else:
                    yield HEARTBEAT
        finally:
            for task in (coming, reading, stopping):
                task.cancel()

    def _read_into(self, records: asyncio.Queue[StoredRecord], topic: str, after: str) -> asyncio.Task[None]:
        """Read a topic until cancelled, in a task of its own.

        Once a client has gone, its answer's every await is cancelled, also those that close a connection
        to Kafka. A stream counts as open until that connection is closed.
        """

        async def read() -> None:
            with suppress(BusError, PositionError):
                async with aclosing(self._bus.event_log(topic).tail(after)) as tail:
                    async for stored in tail:
                        await records.put(stored)

        def closed(task: asyncio.Task[None]) -> None:
            self._reading.discard(task)
            self._open[topic] -= 1

        reading = asyncio.create_task(read(), name=f"reading {topic}")
        self._open[topic] += 1
        self._reading.add(reading)
        reading.add_done_callback(closed)
        return reading


def server_sent_event(stored: StoredRecord) -> bytes | None:
    """A record as an event (HTML Standard §9.2.5); None for one that is no frame event."""
    value = stored.record.value
    try:
        event = FrameEvent.FromString(value)
    except DecodeError:
        return None
    data = {
        "key": stored.record.key,
        "value": base64.b64encode(value).decode(),
        "json": MessageToDict(event, preserving_proto_field_name=True),
    }
    kind = event.WhichOneof("event") or "unknown"
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"id: {stored.position}\nevent: {kind}\ndata: {text}\n\n".encode()
