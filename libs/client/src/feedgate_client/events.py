"""Frame events: from Kafka, or as Server-Sent Events where there is no Kafka."""

import asyncio
import base64
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import httpx
from aiokafka import AIOKafkaConsumer

from feedgate_client.errors import ClientError, RefusedError
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent

Token = Callable[[], Awaitable[str]]
"""Gives a token that is valid now; called again for every connection."""

REMEMBERED_GROUPS = 10_000


class EventSource(Protocol):
    """Anything that yields frame events and can say where to go on."""

    def __aiter__(self) -> AsyncIterator[FrameEvent]: ...


class _Repeats:
    """Recognises what two relays, or one after a restart, reported twice."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Any, None] = OrderedDict()

    def is_new(self, event: FrameEvent) -> bool:
        key: Any = event.event_id
        if event.HasField("group_of_pictures") and event.group_of_pictures.pictures:
            group = event.group_of_pictures
            key = (event.grant_id, group.run, group.pictures[0].sequence)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_GROUPS:
            self._seen.popitem(last=False)
        return True


async def kafka_frame_events(
    bootstrap_servers: str, agency: str, group: str, **consumer_options: Any
) -> AsyncIterator[FrameEvent]:
    """An agency's frame events from its own topic.

    A record counts as handled when the next one is asked for; what was not
    comes again after a restart.

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
    await consumer.start()
    repeats = _Repeats()
    try:
        async for record in consumer:
            event = FrameEvent.FromString(record.value)
            if repeats.is_new(event):
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
        self, http: httpx.AsyncClient, token: Token, last_event_id: str | None, retries: int
    ) -> None:
        self._http = http
        self._token = token
        self._retries = retries
        self._repeats = _Repeats()
        self.last_event_id = last_event_id
        self.connected = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[FrameEvent]:
        """Frame events, each once.

        Raises:
            RefusedError: this account may not read them.
            ClientError: the connection broke more often than allowed without one event between.
        """
        broken = 0
        while True:
            with suppress(httpx.TransportError):
                async for event in self._one_connection():
                    broken = 0
                    yield event
            broken += 1
            if broken > self._retries:
                raise ClientError(f"the event stream broke {broken} times in a row")

    async def _one_connection(self) -> AsyncIterator[FrameEvent]:
        headers = {"Authorization": f"Bearer {await self._token()}", "Accept": "text/event-stream"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        timeout = httpx.Timeout(10.0, read=45.0)  # the relay says something at least every 15 s
        async with self._http.stream("GET", "/relay/v1/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                raise refusal_of(answer)
            self.connected.set()
            async for event_id, data in _server_sent_events(answer):
                event = FrameEvent.FromString(base64.b64decode(json.loads(data)["value"]))
                if self._repeats.is_new(event):
                    yield event
                self.last_event_id = event_id


async def _server_sent_events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """(id, data) of each event (WHATWG HTML 9.2.6)."""
    event_id = ""
    data: list[str] = []
    async for line in answer.aiter_lines():
        if not line:
            if data:
                yield event_id, "\n".join(data)
            data = []
        elif line.startswith("id:"):
            event_id = line.removeprefix("id:").strip()
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))


def refusal_of(answer: httpx.Response) -> RefusedError:
    """The error an RFC 9457 answer, or any other refusal, stands for."""
    try:
        problem = answer.json()
        code = str(problem["type"]).rsplit(":", 1)[-1]
        detail = str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return RefusedError(f"http-{answer.status_code}", answer.reason_phrase)
    return RefusedError(code, detail, problem)
