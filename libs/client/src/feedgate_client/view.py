"""One live view: a socket for notices, a socket for pictures, one stream of both."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from feedgate_client.errors import ClientError, RefusedError
from feedgate_client.pictures import (
    FLAG_DISCONTINUITY,
    FLAG_KEYFRAME,
    KIND_FRAGMENT,
    KIND_INIT,
    Picture,
    sample_of,
    split_message,
)

PROTOCOL = Subprotocol("feedgate.v1")
LEASE_S = 3.0
"""Without a lease for so long nobody may be shown anything (the dead-man rule)."""

PICTURES_HELD = 250  # ten seconds at 25 pictures a second; then the relay is left to drop
RENEW_BEFORE_S = 30
MAX_MESSAGE_BYTES = 8 * 2**20

Ticket = dict[str, Any]
TakeTicket = Callable[[], Awaitable[Ticket]]


@dataclass(frozen=True, slots=True)
class Notice:
    """Why pictures began, stopped or are missing."""

    code: str  # `started`, `stopped`, `paused_by_owner`, ...; `lost` is this client's own
    reason: str
    detail: str
    at: str  # RFC 3339, the relay's clock; empty for `lost`
    received_at_us: int  # this machine's clock


class View:
    """Pictures and notices of one grant, in the order they came; ends after the relay's last word.

    What is not iterated over is not held without bound: the relay drops it and
    says so by a notice `gap`.
    """

    def __init__(self, base_url: str, take_ticket: TakeTicket) -> None:
        self._base_url = base_url.replace("http", "ws", 1).rstrip("/")
        self._take_ticket = take_ticket
        self._notices: deque[Notice] = deque()
        self._pictures: deque[Picture] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[ClientConnection] = []
        self.view_id = ""
        self.stream = ""
        self.close_code: int | None = None

    async def open(self) -> None:
        """Take a ticket and open both sockets.

        Raises:
            RefusedError: with the close code, where the relay refused.
        """
        ticket = await self._take_ticket()
        notices = await self._connect(ticket["notices_url"], f"ticket.{ticket['ticket']}")
        hello = await self._hello(notices)
        self.view_id, self.stream = hello["view_id"], hello["stream"]
        media = await self._connect(ticket["media_url"], f"media.{hello['media_secret']}")
        self._tasks = [
            asyncio.create_task(self._read_notices(notices)),
            asyncio.create_task(self._read_media(media)),
            asyncio.create_task(self._renew(notices, hello["view_until"])),
        ]

    async def close(self) -> None:
        """End the view; the relay reports it as ended by the viewer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(socket.close() for socket in self._sockets), return_exceptions=True)
        self._end()

    async def __aiter__(self) -> AsyncIterator[Picture | Notice]:
        """Notices before pictures, each in its order."""
        while True:
            if self._notices:
                yield self._notices.popleft()
            elif self._pictures:
                yield self._pictures.popleft()
                self._room.set()
            elif self._ended:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _connect(self, path: str, credential: str) -> ClientConnection:
        socket = await connect(
            self._base_url + path,
            subprotocols=[PROTOCOL, Subprotocol(credential)],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,  # the lease is the relay's sign of life
        )
        self._sockets.append(socket)
        return socket

    async def _hello(self, notices: ClientConnection) -> dict[str, Any]:
        try:
            hello: dict[str, Any] = json.loads(await notices.recv())
        except ConnectionClosed as closed:
            received = closed.rcvd
            code, reason = (received.code, received.reason) if received else (1006, "connection lost")
            raise RefusedError(f"close-{code}", reason) from closed
        if hello.get("type") != "hello":
            raise ClientError(f"first notice of type `{hello.get('type')}`; allowed: `hello`")
        return hello

    async def _read_notices(self, socket: ClientConnection) -> None:
        try:
            while True:
                message = json.loads(await asyncio.wait_for(socket.recv(), LEASE_S))
                if message["type"] == "notice":
                    self._take_notice(message["code"], message)
        except TimeoutError:
            self._take_notice("lost", {"reason": "no_lease", "detail": f"no lease for {LEASE_S:g} s"})
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else 1006
            if closed.rcvd is None:
                self._take_notice("lost", {"reason": "connection_lost"})
        self._end()

    def _take_notice(self, code: str, message: dict[str, Any]) -> None:
        if code in {"stopped", "lost"}:
            self._pictures.clear()  # what was not yet looked at never will be
        self._notices.append(
            Notice(
                code=code,
                reason=message.get("reason", ""),
                detail=message.get("detail", ""),
                at=message.get("at", ""),
                received_at_us=time.time_ns() // 1_000,
            )
        )
        self._changed.set()

    async def _read_media(self, socket: ClientConnection) -> None:
        init_segment = b""
        with suppress(ConnectionClosed):  # the notice socket says why
            async for message in socket:
                received_at_us = time.time_ns() // 1_000
                if isinstance(message, str):
                    raise ClientError("text on the media socket; allowed: binary messages")
                kind, flags, sequence, sent_at_us, body = split_message(message)
                if kind == KIND_INIT:
                    init_segment = body
                elif kind == KIND_FRAGMENT:
                    self._pictures.append(
                        Picture(
                            sequence=sequence,
                            is_random_access_point=bool(flags & FLAG_KEYFRAME),
                            follows_a_gap=bool(flags & FLAG_DISCONTINUITY),
                            init_segment=init_segment,
                            fragment=body,
                            sample=sample_of(body),
                            sent_at_us=sent_at_us,
                            received_at_us=received_at_us,
                        )
                    )
                    self._changed.set()
                    await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while len(self._pictures) >= PICTURES_HELD:
            self._room.clear()
            await self._room.wait()

    async def _renew(self, socket: ClientConnection, view_until: str) -> None:
        """Extend the view with a fresh ticket before the old one ends it."""
        with suppress(ConnectionClosed, RefusedError):  # a refusal lets the view end when its ticket does
            while True:
                until = datetime.fromisoformat(view_until)
                pause = until - datetime.now(UTC) - timedelta(seconds=RENEW_BEFORE_S)
                await asyncio.sleep(max(pause.total_seconds(), 1.0))
                ticket = await self._take_ticket()
                if ticket["view_until"] == view_until:
                    return  # the grant itself ends then
                await socket.send(json.dumps({"type": "ticket", "ticket": ticket["ticket"]}))
                view_until = ticket["view_until"]

    def _end(self) -> None:
        self._ended = True
        self._changed.set()
