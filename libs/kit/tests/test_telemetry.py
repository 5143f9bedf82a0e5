"""One line and one measurement per request, and nothing in them that should not be."""

import json
import linecache
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, WebSocket
from prometheus_client import CollectorRegistry
from starlette.types import Message

from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.telemetry import configure_logging


@pytest.fixture
def log() -> StringIO:
    stream = StringIO()
    configure_logging(stream=stream)
    return stream


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def service(registry: CollectorRegistry) -> Service:
    verifier = TokenVerifier([], SteppedClock())
    public = create_public_app("shop", verifier)
    router = APIRouter(prefix="/shop/v1")

    @router.get("/orders/{order_id}")
    async def order(order_id: str) -> str:
        return order_id

    @router.websocket("/bell/{door}")
    async def bell(websocket: WebSocket, door: str) -> None:
        if door == "shut":
            await websocket.close(4003)
            return
        await websocket.accept()
        if door == "broken":
            raise RuntimeError("bell")
        if door == "guest":
            await websocket.receive_text()
        await websocket.close(4001)

    public.include_router(router)
    return Service(
        name="shop",
        public=public,
        internal=create_internal_app("shop", verifier),
        registry=registry,
        close_codes={4001},
        readiness=Readiness({"tea": lambda: True}),
    )


@pytest.fixture
async def client(service: Service, log: StringIO) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.public), base_url="http://shop"
    ) as client:
        yield client


def lines(log: StringIO, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == event]


async def test_a_request_is_one_line_without_its_query(client: httpx.AsyncClient, log: StringIO) -> None:
    answer = await client.get("/shop/v1/orders/7?token=hunter2", headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    (line,) = lines(log, "request")
    assert (line["method"], line["route"], line["path"], line["status"], line["request_id"]) == (
        "GET", "/shop/v1/orders/{order_id}", "/shop/v1/orders/7", 200, "abc-1",
    )  # fmt: skip
    assert line["duration_ms"] >= 0
    assert "hunter2" not in log.getvalue()


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 65, "ü", 'a"b', "a/b"])
async def test_a_request_id_a_log_cannot_hold_is_replaced(
    client: httpx.AsyncClient, log: StringIO, sent: str | None
) -> None:
    headers = [] if sent is None else [(b"x-request-id", sent.encode())]
    answer = await client.get("/shop/v1/orders/7", headers=headers)
    assert len(answer.headers["x-request-id"]) == 36
    assert lines(log, "request")[0]["request_id"] == answer.headers["x-request-id"]


def test_a_traceback_is_logged_and_the_files_it_quotes_are_not_kept(log: StringIO) -> None:
    configure_logging(stream=log)  # alone: the handler of the tests' own log keeps files
    try:
        json.loads("{")
    except ValueError:
        structlog.get_logger().exception("unread")
    (line,) = lines(log, "unread")
    assert 'json.loads("{")' in line["exception"]
    assert line["exception"].endswith("line 1 column 2 (char 1)")
    assert linecache.cache == {}


async def test_health_checks_fill_no_log(client: httpx.AsyncClient, log: StringIO) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).json() == {"ready": True}
    assert lines(log, "request") == []


async def test_no_label_holds_an_id_or_what_a_stranger_sent(
    client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    for path in ("/shop/v1/orders/7", "/shop/v1/orders/8", "/somewhere/9", "/rtsp://user:hunter2@camera"):
        await client.get(path)
    await client.request("BREW", "/shop/v1/orders/7")
    seen = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"], sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "http_requests_total"
    }
    assert seen == {
        ("GET", "/shop/v1/orders/{order_id}", "200", 2),
        ("GET", "unmatched", "404", 2),
        ("other", "/shop/v1/orders/{order_id}", "405", 1),
    }


async def ring(app: FastAPI, door: str, received: list[Message]) -> list[Message]:
    """Open a WebSocket by hand; what was sent to the client."""
    sent: list[Message] = []
    incoming = iter([{"type": "websocket.connect"}, *received])

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": f"/shop/v1/bell/{door}",
        "raw_path": b"",
        "query_string": b"ticket=hunter2",
        "headers": [(b"x-request-id", b"bell-1"), (b"sec-websocket-protocol", b"ticket.hunter2")],
        "subprotocols": [],
        "root_path": "",
        "scheme": "ws",
    }
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("door", "received", "accepted", "code"),
    [
        ("front", [], True, 4001),
        ("shut", [], False, 4003),
        ("guest", [{"type": "websocket.receive", "text": "hello"}], True, 4001),
        ("guest", [{"type": "websocket.disconnect", "code": 1001}], True, 1001),
        ("guest", [{"type": "websocket.disconnect", "code": 1006}], True, 1006),
    ],
)
async def test_a_websocket_is_one_line_at_its_end(
    service: Service, log: StringIO, door: str, received: list[Message], accepted: bool, code: int
) -> None:
    await ring(service.public, door, received)
    (line,) = lines(log, "websocket")
    assert (line["route"], line["accepted"], line["code"], line["request_id"]) == (
        "/shop/v1/bell/{door}", accepted, code, "bell-1",
    )  # fmt: skip
    assert "hunter2" not in log.getvalue()


async def test_open_websockets_are_counted_and_given_back(
    service: Service, registry: CollectorRegistry
) -> None:
    def open_now() -> float:
        return registry.get_sample_value("websockets_open", {"route": "/shop/v1/bell/{door}"}) or 0.0

    await ring(service.public, "front", [])
    sent = await ring(service.public, "broken", [])
    assert sent[-1] == {"type": "websocket.close", "code": 1011}
    assert open_now() == 0
    assert closes(registry) == {"4001": 1, "1011": 1}


async def test_a_close_code_that_a_stranger_made_up_is_no_label(
    service: Service, registry: CollectorRegistry
) -> None:
    for code in (1001, 1005, 1004, 1016, 3000, 4000, 4001, 4002, 4999):
        await ring(service.public, "guest", [{"type": "websocket.disconnect", "code": code}])
    assert closes(registry) == {"1001": 1, "1005": 1, "4001": 1, "other": 6}


def closes(registry: CollectorRegistry) -> dict[str, float]:
    return {
        sample.labels["code"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "websocket_closes_total"
    }
