"""The relay's own WebSocket protocol behind the kit's HTTP one: a handshake that cannot be is answered."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_relay.connection import RelayWebSocketProtocol

ANY = Listen("127.0.0.1", 0)
HANDSHAKE = (
    b"GET /relay/v1/media HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "
)


@pytest.mark.parametrize("protocols_bytes", [8_191, 9_000, 15_000, 100_000])
async def test_a_handshake_that_is_too_long_is_told_so_and_closed(protocols_bytes: int) -> None:
    verifier = TokenVerifier([], SteppedClock())
    service = Service(
        name="relay",
        public=create_public_app("relay", verifier),
        internal=create_internal_app("relay", verifier),
        registry=CollectorRegistry(),
        ws_protocol=RelayWebSocketProtocol,
    )
    async with asyncio.timeout(20), running(service, ANY, ANY, shutdown_s=1) as addresses:
        reader, writer = await asyncio.open_connection("127.0.0.1", addresses.public.port)
        writer.write(HANDSHAKE + b"x" * protocols_bytes + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"urn:feedgate:problem:request-head-too-large" in answer
