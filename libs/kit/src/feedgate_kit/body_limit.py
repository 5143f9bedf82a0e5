"""The most a request's body may hold, and how long it may take."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedgate_kit.problems import Problem

DRAINED_BYTES: Final = 16 * 1024 * 1024
"""How much of a refused body is read, and thrown away, for the sake of a client that reads only afterwards."""
DRAINED_WITHIN_S: Final = 10.0
BODY_WITHIN_S: Final = 30.0
"""For the longest body at 18 kbit/s. Bodies are read before tokens are looked at: strangers' as well."""


class BodyLimit:
    """ASGI middleware: a longer body is 413, whether its length was said beforehand or not; a late one, 408.

    Not `FastAPI(max_body_size=...)`: that answers plain text, and by exceptions of its own that pass
    through every middleware around it.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(receive)
        detail = f"the body is longer than {self._max_body_bytes} bytes"
        # Drained or not, the connection is not kept: there may be more of the body than is drained.
        close = {"Connection": "close"}

        async def send_and_drain(message: Message) -> None:
            if message["type"] != "http.response.body" or message.get("more_body"):
                await send(message)
                return
            # A connection closed with unread bytes is reset, and the answer may be lost with it
            # (RFC 9112 §9.6). So the answer goes out whole, but ends only once the body is read.
            await send({**message, "more_body": True})
            await body.drain()
            await send({"type": "http.response.body", "body": b""})

        if _said_length(scope) > self._max_body_bytes:
            refusal = Problem(413, "body-too-large", detail=detail, headers=close)
            await refusal.response()(scope, receive, send_and_drain)
            return

        async def counted() -> Message:
            try:
                message = await body.next_in_time()
            except TimeoutError:
                late = f"a request's body must be there within {BODY_WITHIN_S:g} s"
                raise HTTPException(408, late, headers=close) from None
            if body.received > self._max_body_bytes:
                # What FastAPI lets through where it reads a body; the problem handlers do the rest.
                raise HTTPException(413, detail, headers=close)
            return message

        async def send_or_drain(message: Message) -> None:
            too_long = body.received > self._max_body_bytes
            await (send_and_drain if too_long else send)(message)

        await self.app(scope, counted, send_or_drain)


class _Body:
    """A request's body as it comes."""

    def __init__(self, receive: Receive) -> None:
        self.received = 0
        self._receive = receive
        self._ended = False
        self._until: float | None = None

    async def next_in_time(self) -> Message:
        """The next piece of a body that comes while it should; what comes after its end may take its time.

        Raises:
            TimeoutError: the body takes too long.
        """
        if self._ended:
            return await self.next()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + BODY_WITHIN_S
        async with asyncio.timeout_at(self._until):
            return await self.next()

    async def next(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read the rest and throw it away, as far as that is worth it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_WITHIN_S):
                while not self._ended and self.received < DRAINED_BYTES:
                    await self.next()


def _said_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:19])
    return 0
