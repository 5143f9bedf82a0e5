"""One live view: a socket for notices, a socket for pictures, one stream of both."""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from feedgate_client.address import is_loopback, websocket_url
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

PROTOCOL: Final = Subprotocol("feedgate.v1")

LEASE_S: Final = 3.0
"""Without a lease for so long nobody may be shown anything (the dead-man rule)."""

PICTURES_HELD: Final = 250
"""Ten seconds at 25 pictures a second. Then nothing more is read, and the relay drops what it cannot send."""

NOTICES_HELD: Final = 1_000
RENEW_BEFORE_S: Final = 30.0
RENEW_FIRST_PAUSE_S: Final = 1.0
RENEW_LONGEST_PAUSE_S: Final = 8.0
CLOSE_WITHIN_S: Final = 1.0
MAX_MESSAGE_BYTES: Final = 8 * 2**20
NO_STATUS_RECEIVED: Final = 1006  # RFC 6455 §7.4.1: the connection broke

UNCOVERED: Final = frozenset({"started", "resumed", "expiring", "gap"})
"""Notices after which pictures may be looked at. After every other one, also one not known here, they may not."""
LAST_WORDS: Final = frozenset({"stopped", "view_ended", "lost"})

logger = logging.getLogger(__name__)

Ticket = dict[str, Any]
TakeTicket = Callable[[], Awaitable[Ticket]]


@dataclass(frozen=True, slots=True)
class Notice:
    """Why pictures began, stopped or are missing."""

    code: str  # `started`, `stopped`, `paused_by_owner`, …; `lost` is this client's own
    reason: str
    detail: str
    at: str  # RFC 3339, the relay's clock; empty for `lost`
    received_at_us: int  # this machine's clock


class View:
    """Pictures and notices of one grant, in the order they came; ends after the relay's last word.

    What is not iterated over is not held without bound: the relay drops it and
    says so by a notice `gap`. Pictures not yet looked at when a notice covers
    the view are dropped; after its last word none is handed out.

    Attributes:
        view_id: names it in notices, frame events and the owner's ledger.
        stream: `<camera id>/<rendition>`.
        close_code: of the notice socket once it is closed; `docs/ref/close-codes.md`.
        late_pictures: how many came after the last word and were dropped unseen.
    """

    def __init__(self, base_url: str, take_ticket: TakeTicket) -> None:
        """Nothing is opened yet.

        Args:
            base_url: the public origin, `https://host`.
            take_ticket: gives the answer of `POST …/grants/{id}/tickets`; asked again before a view
                ends, also where it raised; a `RefusedError` that will not pass is the last word.
        """
        self._base_url = websocket_url(base_url)
        self._take_ticket = take_ticket
        self._notices: deque[Notice] = deque(maxlen=NOTICES_HELD)
        self._pictures: deque[Picture] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._had_last_word = False
        self._error: ClientError | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[ClientConnection] = []
        self.view_id = ""
        self.stream = ""
        self.close_code: int | None = None
        self.late_pictures = 0

    async def open(self) -> None:
        """Take a ticket and open both sockets.

        Raises:
            RefusedError: no ticket was given, or the relay did not take it; `code` says which.
            ClientError: the relay cannot be reached, or does not speak as documented.
        """
        ticket = await self._take_ticket()
        notices = await self._connect(ticket["notices_url"], f"ticket.{ticket['ticket']}")
        hello = await self._hello(notices)
        self.view_id, self.stream = hello["view_id"], hello["stream"]
        media = await self._connect(hello["media_path"], f"media.{hello['media_secret']}")
        self._carry(partial(self._read_notices, notices))
        self._carry(partial(self._read_media, media))
        self._carry(partial(self._renew, notices, hello["view_until"]))

    async def close(self) -> None:
        """End the view; the relay reports it as ended by the viewer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(socket.close() for socket in self._sockets), return_exceptions=True)
        self._end()

    async def __aiter__(self) -> AsyncIterator[Picture | Notice]:
        """Notices before pictures, each in its order.

        Raises:
            ClientError: the relay did not speak as documented.
        """
        while True:
            if self._notices:
                yield self._notices.popleft()
            elif self._pictures:
                yield self._pictures.popleft()
                self._room.set()
            elif self._ended:
                if self._error is not None:
                    raise self._error
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    def _carry(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it beside the others; what it cannot understand ends the view with an error."""

        async def carried() -> None:
            try:
                await work()
            except (ValueError, KeyError, TypeError) as error:
                self._fail(ClientError(f"not a message of `{PROTOCOL}`: {error!r}"))
            except ClientError as error:
                self._fail(error)

        self._tasks.append(asyncio.create_task(carried()))

    async def _connect(self, path: str, credential: str) -> ClientConnection:
        try:
            socket = await connect(
                self._base_url + path,
                subprotocols=[PROTOCOL, Subprotocol(credential)],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ping_interval=None,  # the lease is the relay's sign of life
                close_timeout=CLOSE_WITHIN_S,
                proxy=None if is_loopback(self._base_url) else True,
            )
        except (OSError, WebSocketException) as error:
            raise ClientError(f"`{path}` cannot be opened: {error}") from error
        self._sockets.append(socket)
        return socket

    async def _hello(self, notices: ClientConnection) -> dict[str, Any]:
        try:
            hello: dict[str, Any] = json.loads(await notices.recv())
        except ConnectionClosed as closed:
            self.close_code = _close_code(closed)
            reason = closed.rcvd.reason if closed.rcvd else ""
            raise RefusedError(reason or f"close-{self.close_code}", "the relay closed the door") from closed
        if hello.get("type") != "hello" or hello.get("n") != 0:
            raise ClientError(f"first message of type `{hello.get('type')}`; allowed: `hello`, numbered 0")
        return hello

    async def _read_notices(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        leased_until_s = loop.time() + LEASE_S
        expected = 1
        try:
            while True:
                async with asyncio.timeout_at(leased_until_s):
                    message = json.loads(await socket.recv())
                if message["n"] != expected:
                    detail = f"message {message['n']} instead of {expected}"
                    self._take_notice("lost", {"reason": "gap_in_notices", "detail": detail})
                    break
                expected += 1
                if message["type"] == "lease":
                    leased_until_s = loop.time() + LEASE_S
                elif message["type"] == "notice":
                    self._take_notice(message["code"], message)
        except TimeoutError:
            self._take_notice("lost", {"reason": "no_lease", "detail": f"no lease for {LEASE_S:g} s"})
        except ConnectionClosed as closed:
            self.close_code = _close_code(closed)
            if not self._had_last_word:
                reason = closed.rcvd.reason if closed.rcvd else ""
                self._take_notice("lost", {"reason": reason or "connection_lost"})
        self._end()

    def _take_notice(self, code: str, message: dict[str, Any]) -> None:
        if code not in UNCOVERED:
            self._pictures.clear()  # what was not yet looked at never will be
            self._room.set()
        self._had_last_word = self._had_last_word or code in LAST_WORDS
        self._notices.append(
            Notice(
                code=code,
                reason=message.get("reason", ""),
                detail=message.get("detail", ""),
                at=message.get("at", ""),
                received_at_us=_now_us(),
            )
        )
        self._changed.set()

    async def _read_media(self, socket: ClientConnection) -> None:
        init_segment = b""
        with suppress(ConnectionClosed):  # the notice socket says why
            async for message in socket:
                if isinstance(message, str):
                    raise ClientError("text on the media socket; allowed: binary messages")
                kind, flags, sequence, sent_at_us, body = split_message(message)
                if kind == KIND_INIT:
                    init_segment = body
                elif kind == KIND_FRAGMENT:
                    picture = Picture(
                        sequence=sequence,
                        is_random_access_point=bool(flags & FLAG_KEYFRAME),
                        follows_a_gap=bool(flags & FLAG_DISCONTINUITY),
                        init_segment=init_segment,
                        fragment=body,
                        sample=sample_of(body),
                        sent_at_us=sent_at_us,
                        received_at_us=_now_us(),
                    )
                    await self._take_picture(picture)

    async def _take_picture(self, picture: Picture) -> None:
        while len(self._pictures) >= PICTURES_HELD:
            self._room.clear()
            await self._room.wait()
        if self._had_last_word:
            self.late_pictures += 1
            return
        self._pictures.append(picture)
        self._changed.set()

    async def _renew(self, socket: ClientConnection, view_until: str) -> None:
        """Extend the view with fresh tickets before the old one ends it, until no ticket will.

        One that gains nothing may rest on a token that is about to be renewed,
        or on a grant that ends then; asking again tells the two apart.
        """
        until = datetime.fromisoformat(view_until)
        pause_s = RENEW_FIRST_PAUSE_S
        with suppress(ConnectionClosed, RefusedError):  # a refusal lets the view end when its ticket does
            while (left_s := (until - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(max(left_s - RENEW_BEFORE_S, pause_s))
                ticket = await self._another_ticket()
                if ticket is not None and datetime.fromisoformat(ticket["view_until"]) > until:
                    await socket.send(json.dumps({"type": "ticket", "ticket": ticket["ticket"]}))
                    until = datetime.fromisoformat(ticket["view_until"])
                    pause_s = RENEW_FIRST_PAUSE_S
                else:
                    pause_s = min(2 * pause_s, RENEW_LONGEST_PAUSE_S)

    async def _another_ticket(self) -> Ticket | None:
        """A ticket; None if there is none for now.

        Raises:
            RefusedError: there will be none.
        """
        try:
            return await self._take_ticket()
        except RefusedError as refusal:
            if not refusal.may_pass:
                raise
            logger.warning("no ticket for now: %s", refusal.code)
        except Exception as error:  # noqa: BLE001 - tokens come from the caller's code, which may raise anything
            logger.warning("no ticket for now: %s", type(error).__name__)
        return None

    def _fail(self, error: ClientError) -> None:
        self._error = self._error or error
        self._had_last_word = True
        self._pictures.clear()
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._changed.set()
        self._room.set()


def _close_code(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else NO_STATUS_RECEIVED


def _now_us() -> int:
    return time.time_ns() // 1_000
