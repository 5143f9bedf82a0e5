"""A relay's two sockets on loopback, as far as a client can tell, saying what the test says."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from feedgate_client.pictures import FLAG_KEYFRAME, HEADER, KIND_FRAGMENT, KIND_INIT

SENT_AT_US = 1_750_000_000_000_000
INIT_SEGMENT = b"ftyp and moov"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def sample(sequence: int) -> bytes:
    """A picture of one NAL unit, after its length."""
    nal_unit = b"\x65picture %d" % sequence
    return len(nal_unit).to_bytes(4, "big") + nal_unit


def media_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(kind, flags, 0, sequence, SENT_AT_US + sequence) + body


def picture(sequence: int, *, flags: int = 0) -> bytes:
    fragment = box(b"moof", b"where") + box(b"mdat", sample(sequence))
    return media_message(KIND_FRAGMENT, flags, sequence, fragment)


class Relay:
    """What it heard, and the two sockets of the one view it expects."""

    def __init__(self) -> None:
        self.origin = ""
        self.tickets = 0
        self.view_until = _rfc3339(timedelta(minutes=5))
        self.hiccups: list[Exception] = []
        """Raised, one for each ticket asked for, instead of giving it."""
        self.notices: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
        self.media: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
        self.door: Callable[[ServerConnection], Any] = self.greet
        self.offered: list[list[str]] = []
        self._said = 0

    async def take_ticket(self) -> dict[str, Any]:
        self.tickets += 1
        if self.tickets > 1 and self.hiccups:
            raise self.hiccups.pop(0)
        return {
            "ticket": f"signed-{self.tickets}",
            "view_until": self.view_until,
            "stream": "camera/original",
            "notices_url": "/relay/v1/notices",
        }

    async def greet(self, socket: ServerConnection) -> None:
        del socket
        await self.say({
            "type": "hello",
            "view_id": "view",
            "stream": "camera/original",
            "media_path": "/relay/v1/relays/relay-1/media",
            "media_secret": "secret",
            "view_until": self.view_until,
        })  # fmt: skip

    async def say(self, message: dict[str, Any]) -> None:
        await (await self.notices).send(json.dumps({"n": self._said, **message}))
        self._said += 1

    async def notice(self, code: str, reason: str = "") -> None:
        at = _rfc3339(timedelta(0))
        await self.say({"type": "notice", "code": code, "reason": reason, "detail": "", "at": at})

    async def lease(self) -> None:
        await self.say({"type": "lease"})

    def lose_a_message(self) -> None:
        self._said += 1

    async def init(self) -> None:
        await (await self.media).send(media_message(KIND_INIT, 0, 0, INIT_SEGMENT))

    async def show(self, *sequences: int) -> None:
        for sequence in sequences:
            await (await self.media).send(picture(sequence, flags=0 if sequence else FLAG_KEYFRAME))

    async def stop(self, reason: str = "authorisation_withdrawn") -> None:
        """As a relay ends a view for good: the word, then both sockets, with one code."""
        await self.notice("stopped", reason)
        await (await self.media).close(4030, reason)
        await (await self.notices).close(4030, reason)

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        offered = socket.request.headers["Sec-WebSocket-Protocol"].split(", ")
        self.offered.append(offered)
        if socket.request.path == "/relay/v1/notices":
            self.notices.set_result(socket)
            await self.door(socket)
        else:
            self.media.set_result(socket)
        await socket.wait_closed()


@asynccontextmanager
async def running_relay() -> AsyncIterator[Relay]:
    relay = Relay()
    async with serve(
        relay.handle, "127.0.0.1", 0, subprotocols=[Subprotocol("feedgate.v1")], compression=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        relay.origin = f"http://127.0.0.1:{port}"
        yield relay


def _rfc3339(later: timedelta) -> str:
    return (datetime.now(UTC) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")
