"""Frame events: from Kafka, or as Server-Sent Events where there is no Kafka."""

import asyncio
import base64
import json
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, Final, Protocol

import httpx
from aiokafka import AIOKafkaConsumer
from google.protobuf.message import DecodeError

from feedgate_client.errors import ClientError, RefusedError
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent

Token = Callable[[], Awaitable[str]]
"""Gives a token that is valid now; called again for every connection."""

REMEMBERED_EVENTS: Final = 10_000
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
SILENT_AFTER_S: Final = 45.0
"""The relay says something at least every 15 s."""

TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

logger = logging.getLogger(__name__)


class EventSource(Protocol):
    """Anything that yields frame events."""

    def __aiter__(self) -> AsyncIterator[FrameEvent]: ...


class Repeats:
    """Recognises what two relays, or one after a restart, reported twice."""

    def __init__(self, remembered: int = REMEMBERED_EVENTS) -> None:
        self._remembered = remembered
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        """How far each was told of: of a GOP its last picture's number."""

    def is_new(self, event: FrameEvent) -> bool:
        """Whether nothing that says as much was asked about before: the same event, or as much of the same GOP.

        One of two relays may have shown only the beginning of a GOP, because its view ended in it.
        """
        key: Hashable = event.event_id
        until = 0
        if event.HasField("group_of_pictures") and event.group_of_pictures.pictures:
            group = event.group_of_pictures
            key = (event.grant_id, group.run, group.pictures[0].sequence)
            until = group.pictures[-1].sequence
        if self._seen.get(key, -1) >= until:
            return False
        self._seen[key] = until
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True


async def kafka_frame_events(
    bootstrap_servers: str, agency: str, group: str, **consumer_options: Any
) -> AsyncIterator[FrameEvent]:
    """An agency's frame events from its own topic.

    A record counts as handled when the next one is asked for; what was not
    comes again after a restart. A record that is no frame event is logged and
    passed over.

    Args:
        bootstrap_servers: `host:port` of the brokers.
        agency: the agency's id.
        group: this consumer's group.
        consumer_options: more options of `aiokafka.AIOKafkaConsumer`: TLS, SASL.
    """
    consumer = AIOKafkaConsumer(
        f"relay.frame.events.v1.{agency}",
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **consumer_options,
    )
    repeats = Repeats()
    try:
        await consumer.start()
        async for record in consumer:
            event = _readable(record.value, f"{record.topic}/{record.partition}/{record.offset}")
            if event is not None and repeats.is_new(event):
                yield event
            await consumer.commit()
    finally:
        await consumer.stop()


class HttpFrameEvents:
    """An agency's frame events as Server-Sent Events; goes on by itself after a broken connection.

    Attributes:
        last_event_id: where to go on; keep it to go on in another process.
        connected: set once the relay has begun to answer; nothing from then on is missed.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Token,
        last_event_id: str | None,
        retries: int,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._token = token
        self._retries = retries
        self._pause = pause
        self._repeats = Repeats()
        self._failures = 0
        self.last_event_id = last_event_id
        self.connected = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[FrameEvent]:
        """Frame events, each once. One counts as handled when the next is asked for.

        Raises:
            RefusedError: this account may not read them, or `last_event_id` is older than what is kept.
            ClientError: the relay was not reached more often in a row than allowed.
        """
        while True:
            try:
                async for event in self._one_connection():
                    yield event
            except (_UnavailableError, httpx.TransportError) as error:
                self._failures += 1
                if self._failures > self._retries:
                    raise ClientError(f"no event stream after {self._failures} attempts in a row") from error
            # An orderly end is the relay's way too: the token's time is over, or it restarts.
            longest_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
            await self._pause(longest_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads many clients

    async def _one_connection(self) -> AsyncIterator[FrameEvent]:
        headers = {"Authorization": f"Bearer {await self._token()}", "Accept": "text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        timeout = httpx.Timeout(10.0, read=SILENT_AFTER_S)
        async with self._http.stream("GET", "/relay/v1/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code in TRY_AGAIN:
                raise _UnavailableError(f"status {answer.status_code}")
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                raise refusal_of(answer)
            self.connected.set()
            async for event_id, data in _server_sent_events(answer):
                self._failures = 0
                event = _event_of(data, event_id) if data else None
                if event is not None and self._repeats.is_new(event):
                    yield event
                self.last_event_id = event_id or self.last_event_id


class _UnavailableError(Exception):
    """The relay, or what stands before it, cannot answer now."""


async def _server_sent_events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """(id, data) of each event, the data empty where only an id was sent (WHATWG HTML 9.2.6)."""
    event_id = ""
    data: list[str] = []
    async for line in answer.aiter_lines():
        if not line:
            yield event_id, "\n".join(data)
            data = []
        elif line.startswith("id:"):
            event_id = line.removeprefix("id:").removeprefix(" ")
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))


def _event_of(data: str, position: str) -> FrameEvent | None:
    try:
        value = base64.b64decode(json.loads(data)["value"], validate=True)
    except (ValueError, KeyError, TypeError):
        logger.warning("event %s is not as documented; passed over", position)
        return None
    return _readable(value, position)


def _readable(value: bytes | None, position: str) -> FrameEvent | None:
    try:
        return FrameEvent.FromString(value or b"")
    except DecodeError:
        logger.warning("record %s is no frame event; passed over", position)
        return None


def refusal_of(answer: httpx.Response) -> RefusedError:
    """The error an RFC 9457 answer, or any other refusal, stands for."""
    may_pass = answer.status_code in TRY_AGAIN
    try:
        problem = answer.json()
        code = str(problem["type"]).rsplit(":", 1)[-1]
        detail = str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return RefusedError(f"http-{answer.status_code}", answer.reason_phrase, may_pass=may_pass)
    return RefusedError(code, detail, problem, may_pass=may_pass)
