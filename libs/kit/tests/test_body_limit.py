"""A refused body on a real connection: the client is told, also one that reads only after it has sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body
from prometheus_client import CollectorRegistry

from feedgate_kit import body_limit
from feedgate_kit.body_limit import DRAINED_BYTES
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock

pytestmark = pytest.mark.sockets

ANY = Listen("127.0.0.1", 0)
MEBIBYTE = bytes(1024 * 1024)
TEN_MEGABYTES = 10 * len(MEBIBYTE)


class Client:
    """Writes and reads when told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, header: str) -> None:
        head = f"POST /shop/v1/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n{header}\r\n\r\n"
        await self.send(head.encode())

    async def send(self, piece: bytes) -> None:
        self._writer.write(piece)
        await self._writer.drain()

    async def send_all(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            await self.send(piece)

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and problem details, whole, while the connection may still be open."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.lower().rstrip("\r\n").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        document = json.loads(await self._reader.readexactly(int(headers["content-length"])))
        return int(status.split(" ")[1]), document

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        return await self._reader.read()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with asyncio.timeout(20), shop() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield Client(reader, writer)
        writer.close()


@asynccontextmanager
async def shop() -> AsyncIterator[int]:
    verifier = TokenVerifier([], SteppedClock())
    public, internal = create_public_app("shop", verifier), create_internal_app("shop", verifier)
    router = APIRouter()

    @router.post("/shop/v1/orders")
    async def order(order: Annotated[dict[str, str], Body()]) -> dict[str, str]:
        return order

    public.include_router(router)
    service = Service(name="shop", public=public, internal=internal, registry=CollectorRegistry())
    async with running(service, ANY, ANY, shutdown_s=1) as addresses:
        yield addresses.public.port


def chunks() -> Iterator[bytes]:
    """Ten megabytes in chunked coding (RFC 9112 §7.1)."""
    yield from repeat(b"%x\r\n%b\r\n" % (len(MEBIBYTE), MEBIBYTE), 10)
    yield b"0\r\n\r\n"


def assert_too_large(answer: tuple[int, dict[str, Any]]) -> None:
    assert answer == (
        413,
        {
            "type": "urn:feedgate:problem:body-too-large",
            "title": "Body too large",
            "status": 413,
            "detail": "the body is longer than 65536 bytes",
        },
    )


@pytest.mark.parametrize(
    ("header", "pieces"),
    [
        pytest.param(f"Content-Length: {TEN_MEGABYTES}", lambda: repeat(MEBIBYTE, 10), id="length said"),
        pytest.param("Transfer-Encoding: chunked", chunks, id="in chunks"),
    ],
)
async def test_a_client_that_sends_ten_megabytes_and_then_reads_is_told(
    client: Client, header: str, pieces: Callable[[], Iterable[bytes]]
) -> None:
    await client.begin(header)
    await client.send_all(pieces())
    assert_too_large(await client.answer())
    assert await client.rest() == b""


async def test_a_client_that_reads_first_is_told_before_it_sends(client: Client) -> None:
    await client.begin(f"Content-Length: {TEN_MEGABYTES}")
    assert_too_large(await client.answer())


async def test_a_body_without_an_end_is_not_read_for_ever(client: Client) -> None:
    await client.begin(f"Content-Length: {100 * DRAINED_BYTES}")
    many = repeat(MEBIBYTE, 4 * DRAINED_BYTES // len(MEBIBYTE))  # what lies in buffers counts as sent
    with pytest.raises(ConnectionError):
        await client.send_all(many)


@pytest.mark.parametrize("header", ["Content-Length: 5", "Transfer-Encoding: chunked"])
async def test_half_a_body_is_not_waited_for_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.setattr(body_limit, "BODY_WITHIN_S", 0.05)
    await client.begin(header)
    status, document = await client.answer()
    assert (status, document["type"]) == (408, "urn:feedgate:problem:request-timeout")
    assert document["detail"] == "a request's body must be there within 0.05 s"
    assert await client.rest() == b""


async def test_a_refused_body_that_does_not_come_is_not_waited_for_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "DRAINED_WITHIN_S", 0.05)
    await client.begin(f"Content-Length: {TEN_MEGABYTES}")
    assert_too_large(await client.answer())
    assert await client.rest() == b""
