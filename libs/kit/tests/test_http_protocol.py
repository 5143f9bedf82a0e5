"""Strangers on a real connection: nobody holds one for ever without a request, and every refusal is said."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvloop
from fastapi import APIRouter, Body, WebSocket
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from feedgate_kit import http_protocol
from feedgate_kit.http_protocol import MAXIMUM_HEAD_BYTES
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.trust import ServerCertificate
from tests.servers.certificates import CertificateAuthority

pytestmark = pytest.mark.sockets

ANY = Listen("127.0.0.1", 0)
PATIENCE_S = 20.0
"""A test's own: a connection that is kept for ever fails it."""
GET = b"GET /shop/v1/name HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST /shop/v1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /shop/v1/bell HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    verifier = TokenVerifier([], SteppedClock())
    public, internal = create_public_app("shop", verifier), create_internal_app("shop", verifier)
    router = APIRouter(prefix="/shop/v1")

    @router.get("/name")
    async def name() -> str:
        return "shop"

    @router.post("/orders")
    async def order(order: Annotated[dict[str, str], Body()]) -> dict[str, str]:
        return order

    @router.get("/news")
    async def news() -> StreamingResponse:
        async def endless() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(endless())

    @router.websocket("/bell")
    async def bell(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="feedgate.v1")
        await websocket.send_text("shop")

    public.include_router(router)
    service = Service(name="shop", public=public, internal=internal, registry=CollectorRegistry())
    async with running(service, ANY, ANY, shutdown_s=1) as addresses:
        yield addresses.public.port


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, piece: bytes) -> None:
        self._writer.write(piece)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.lower().rstrip("\r\n").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split(" ")[1]), headers, body

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def refusal(self) -> tuple[int, str]:
        """Status and code of problem details, after which the connection ends."""
        status, headers, body = await self.answer()
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        document: dict[str, Any] = json.loads(body)
        assert document["status"] == status
        assert await self.rest() == b""
        return status, document["type"].removeprefix("urn:feedgate:problem:")


@pytest.fixture
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Client(reader, writer)
    writer.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience as short as tests'; asked for before the connection."""
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN_S", 0.5)


@pytest.mark.usefixtures("soon")
async def test_a_connection_that_asks_nothing_is_closed(client: Client) -> None:
    assert await client.rest() == b""


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("piece", [b"G", b"GET /shop", GET[:-2], GET[:-1], UPGRADE])
async def test_half_a_head_is_not_waited_for_for_ever(client: Client, piece: bytes) -> None:
    await client.send(piece)
    assert await client.refusal() == (408, "request-timeout")


@pytest.mark.usefixtures("soon", "socket_enabled")
def test_half_a_head_is_let_go_of_over_tls_too(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    file = authority.issue("shop")

    async def ask() -> bytes:
        verifier = TokenVerifier([], SteppedClock())
        public, internal = create_public_app("shop", verifier), create_internal_app("shop", verifier)
        service = Service(name="shop", public=public, internal=internal, registry=CollectorRegistry())
        tls = ServerCertificate(file, file)
        trusting = ssl.create_default_context(cafile=authority.ca_file)
        async with running(service, ANY, ANY, shutdown_s=1, internal_tls=tls) as addresses:
            port = addresses.internal.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            writer.write(b"GET /he")
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read()
            writer.close()
            return answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # what services run on
        assert runner.run(ask()).startswith(b"HTTP/1.1 408")


@pytest.mark.usefixtures("soon")
async def test_a_head_that_trickles_gains_no_time(client: Client) -> None:
    async def trickle() -> None:
        await client.send(GET[:-2] + b"X-More: ")
        while True:
            await client.send(b"x")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    assert await client.refusal() == (408, "request-timeout")
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("piece", [b"\r\n", b"GET /shop"])
async def test_half_a_second_head_is_not_waited_for_either(client: Client, piece: bytes) -> None:
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer())[0] == 200
    await client.send(piece)
    assert await client.refusal() == (408, "request-timeout")


@pytest.mark.usefixtures("soon")
async def test_half_a_head_behind_an_answer_that_goes_on_ends_the_connection(client: Client) -> None:
    await client.send(GET.replace(b"name", b"news"))
    await client.reader.readuntil(b"first\r\n")
    await client.send(b"GET")
    assert await client.rest() == b""


@pytest.mark.usefixtures("soon")
async def test_an_answer_that_goes_on_has_no_deadline(client: Client, port: int) -> None:
    await client.send(GET.replace(b"name", b"news"))
    await client.reader.readuntil(b"first\r\n")
    # Another's whole patience passes meanwhile.
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await client.reader.read()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET[:-2] + b"X-Long: " + b"x" * MAXIMUM_HEAD_BYTES + b"\r\n\r\n", id="whole"),
        pytest.param(GET[:-2] + b"X-Long: " + b"x" * MAXIMUM_HEAD_BYTES, id="without an end"),
        pytest.param(GET[:-2] + b"X-Long: " + b"x" * 4_000_000, id="much more than that"),
        pytest.param(GET[:-2] + b"X: y\r\n" * MAXIMUM_HEAD_BYTES, id="many lines"),
        pytest.param(b"GET /" + b"x" * MAXIMUM_HEAD_BYTES, id="a long address"),
        pytest.param(UPGRADE + b"Sec-WebSocket-Protocol: " + b"x" * 8_191 + b"\r\n\r\n", id="one line"),
        pytest.param(UPGRADE + b"X: y\r\n" * 200 + b"\r\n", id="many lines of a handshake"),
    ],
)
async def test_a_head_that_is_too_long_is_told_so(client: Client, head: bytes) -> None:
    await client.send(head)
    assert await client.refusal() == (431, "request-head-too-large")


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        UPGRADE + b"Content-Length: x\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
    ids=repr,
)
async def test_what_is_no_request_is_told_so(client: Client, head: bytes) -> None:
    await client.send(head)
    assert await client.refusal() == (400, "malformed-request")


async def test_a_long_head_and_a_long_body_that_are_allowed_pass(client: Client) -> None:
    body = json.dumps({"note": "x" * 60_000}).encode()
    long = b"X-Long: " + b"x" * (MAXIMUM_HEAD_BYTES - 500)
    for _ in range(2):
        await client.send(POST + long + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        status, _, answered = await client.answer()
        assert (status, len(answered)) == (200, len(body) - 1)  # written without the space


async def test_a_handshake_of_an_allowed_length_is_answered(client: Client) -> None:
    protocols = b"feedgate.v1, " + b"x" * 8_000
    await client.send(UPGRADE + b"Sec-WebSocket-Protocol: " + protocols + b"\r\n\r\n")
    assert (await client.answer())[0] == 101
