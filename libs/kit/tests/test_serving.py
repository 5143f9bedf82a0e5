"""A service and a composition on real sockets: start, readiness, refusals, stop."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, WebSocket
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from feedgate_kit.composition import CompositionError, compose
from feedgate_kit.health import waiting_for
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen, ListenError, open_listener
from feedgate_kit.problems import Problem
from feedgate_kit.server import Addresses, Servable, running
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app, no_lifespan
from feedgate_kit.stepped_clock import SteppedClock

pytestmark = pytest.mark.sockets

ANY = Listen("127.0.0.1", 0)
PROTOCOL = Subprotocol("feedgate.v1")


def lifespan_noting(events: list[str], name: str) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        events.append(f"{name} up")
        yield
        events.append(f"{name} down")

    return lifespan


def make_service(name: str, **parts: Any) -> Service:
    """A service with a public page, an internal one, a WebSocket and a counter."""
    verifier = TokenVerifier([], SteppedClock())
    public, internal = create_public_app(name, verifier), create_internal_app(name, verifier)
    registry = CollectorRegistry()
    visits = Counter(f"{name.replace('-', '_')}_visits_total", "Visits.", registry=registry)
    shared = Counter("shared_total", "Counted by every service.", registry=registry)
    router, inner = APIRouter(prefix=f"/{name}/v1"), APIRouter(prefix="/internal/v1")

    @router.get("/name")
    async def page() -> str:
        visits.inc()
        shared.inc()
        return name

    @router.websocket("/bell")
    async def bell(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="feedgate.v1")
        await websocket.send_text(name)
        await websocket.receive_text()

    @inner.post(f"/{name}-things")
    async def thing() -> str:
        return name

    public.include_router(router)
    internal.include_router(inner)
    return Service(name=name, public=public, internal=internal, registry=registry, **parts)


@asynccontextmanager
async def up(service: Servable) -> AsyncIterator[tuple[Addresses, httpx.AsyncClient]]:
    async with (
        running(service, ANY, ANY, shutdown_s=1) as addresses,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        yield addresses, client


def measured(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("service", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.endswith(("visits_total", "shared_total"))
    }


async def test_a_service_answers_on_both_ports_while_it_runs() -> None:
    events: list[str] = []
    async with up(make_service("shop", lifespan=lifespan_noting(events, "shop"))) as (at, client):
        assert events == ["shop up"]
        assert at.public.port != at.internal.port
        assert (await client.get(f"{at.public.origin}/shop/v1/name")).json() == "shop"
        assert (await client.post(f"{at.internal.origin}/internal/v1/shop-things")).json() == "shop"
        for origin in (at.public.origin, at.internal.origin):
            assert (await client.get(f"{origin}/healthz")).json() == {"alive": True}
            assert (await client.get(f"{origin}/readyz")).json() == {"ready": True}
        metrics = await client.get(f"{at.internal.origin}/metrics")
        assert measured(metrics.text)["shop_visits_total", "shop"] == 1
        assert "process_resident_memory_bytes" in metrics.text
        assert "event_loop_delay_seconds_count" in metrics.text
        # Nothing internal on the public port.
        for path in ("/metrics", "/internal/v1/shop-things"):
            assert (await client.get(f"{at.public.origin}{path}")).status_code == 404
    assert events == ["shop up", "shop down"]
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        await asyncio.open_connection(at.public.host, at.public.port)


async def test_readiness_names_what_is_waited_for() -> None:
    there = {"database": False, "camera state": False}
    readiness = Readiness({name: partial(there.__getitem__, name) for name in there})
    async with up(make_service("shop", readiness=readiness)) as (at, client):
        answer = await client.get(f"{at.public.origin}/readyz")
        assert (answer.status_code, answer.json()) == (
            503,
            {"ready": False, "waiting_for": ["database", "camera state"]},
        )
        there["database"] = True
        assert (await client.get(f"{at.public.origin}/readyz")).json()["waiting_for"] == ["camera state"]
        there["camera state"] = True
        assert (await client.get(f"{at.public.origin}/readyz")).status_code == 200


@pytest.mark.parametrize("face", ["public", "internal"])
async def test_a_taken_port_is_one_line_that_names_its_setting_and_starts_nothing(face: str) -> None:
    events: list[str] = []
    service = make_service("shop", lifespan=lifespan_noting(events, "shop"))
    with open_listener(ANY) as taken:
        port = taken.getsockname()[1]
        listens = {"public": ANY, "internal": ANY} | {
            face: Listen("127.0.0.1", port, "SHOP_HOST", "SHOP_PORT")
        }
        with pytest.raises(ListenError) as raised:
            async with running(service, listens["public"], listens["internal"]):
                raise AssertionError
    assert str(raised.value).startswith(f"SHOP_PORT: port {port} of 127.0.0.1 is taken")
    assert "\n" not in str(raised.value)
    assert events == []


def test_a_host_of_another_machine_is_one_line_that_names_its_setting() -> None:
    with pytest.raises(ListenError, match="SHOP_HOST"):
        open_listener(Listen("192.0.2.1", 0, "SHOP_HOST", "SHOP_PORT"))


async def test_a_lifespan_that_fails_ends_the_start_with_its_error_and_frees_the_ports() -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with open_listener(ANY) as probe:
        free = Listen("127.0.0.1", probe.getsockname()[1])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no database"):
            async with running(make_service("shop", lifespan=failing), free, ANY):
                raise AssertionError


async def test_an_error_inside_the_block_arrives_as_it_is() -> None:
    seen: list[BaseException] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(error)
            raise

    with pytest.raises(KeyError, match="mine") as raised:
        async with up(make_service("shop", lifespan=lifespan)):
            raise KeyError("mine")
    assert seen == [raised.value]


async def test_stopping_is_told_before_connections_are_closed() -> None:
    ended = asyncio.Event()
    events: list[str] = []

    def on_stopping() -> None:
        events.append("told")
        ended.set()

    service = make_service("shop", on_stopping=on_stopping, lifespan=lifespan_noting(events, "shop"))

    @service.public.websocket("/shop/v1/goodbye")
    async def goodbye(websocket: WebSocket) -> None:
        await websocket.accept()
        await ended.wait()
        await websocket.send_text("goodbye")
        await websocket.close(4010)

    async with asyncio.timeout(10):
        async with up(service) as (at, _):
            guest = await connect(f"{at.public.websocket_origin}/shop/v1/goodbye", proxy=None)
        assert await guest.recv() == "goodbye"
        with pytest.raises(ConnectionClosed):
            await guest.recv()
    assert guest.close_code == 4010
    assert events == ["shop up", "told", "shop down"]


class CountingProtocol(WebSocketsSansIOProtocol):
    """Stands for a protocol class that keeps hold of its transport."""

    made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        type(self).made += 1
        super().__init__(*args, **kwargs)


async def test_a_service_may_bring_its_own_websocket_class_and_socket() -> None:
    opened: list[socket.socket] = []

    def make_socket(listen: Listen) -> socket.socket:
        opened.append(open_listener(listen))
        opened[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)  # Linux doubles it
        return opened[0]

    service = make_service("relay", ws_protocol=CountingProtocol, make_socket=make_socket)
    before = CountingProtocol.made
    # The same through a composition with services that bring nothing.
    for servable in (service, compose("box", [make_service("shop"), service])):
        opened.clear()
        async with up(servable) as (at, _):
            assert opened[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 65536
            url = f"{at.public.websocket_origin}/relay/v1/bell"
            async with connect(url, subprotocols=[PROTOCOL], proxy=None) as guest:
                assert await guest.recv() == "relay"
    assert CountingProtocol.made == before + 2


async def test_a_composition_is_one_origin_with_the_parts_of_all() -> None:
    events: list[str] = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    waiting = {"relay": True}
    services = [
        make_service("registry", lifespan=lifespan_noting(events, "registry")),
        make_service(
            "relay",
            lifespan=lifespan_noting(events, "relay"),
            readiness=Readiness({"heartbeat": lambda: not waiting["relay"]}),
            on_stopping=lambda: events.append("relay told"),
        ),
    ]
    async with up(compose("box", services, {"demo": page})) as (at, client):
        assert events == ["registry up", "relay up"]
        for name in ("registry", "relay"):
            assert (await client.get(f"{at.public.origin}/{name}/v1/name")).json() == name
            assert (await client.post(f"{at.internal.origin}/internal/v1/{name}-things")).json() == name
            async with connect(
                f"{at.public.websocket_origin}/{name}/v1/bell", subprotocols=[PROTOCOL], proxy=None
            ) as guest:
                assert await guest.recv() == name
        assert (await client.get(f"{at.public.origin}/demo/x.html")).text == "/demo/x.html"

        ready = await client.get(f"{at.public.origin}/readyz")
        assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["relay: heartbeat"])
        waiting["relay"] = False
        assert (await client.get(f"{at.internal.origin}/readyz")).json() == {"ready": True}
        assert (await client.get(f"{at.internal.origin}/healthz")).json() == {"alive": True}

        for path, status in (("/", 404), ("/nothing/v1", 404), ("/registry/v1/nothing", 404), ("//x", 404)):
            answer = await client.get(at.public.origin + path)
            assert (answer.status_code, answer.headers["content-type"]) == (
                status,
                "application/problem+json",
            )
        wrong_method = await client.get(f"{at.internal.origin}/internal/v1/relay-things")
        assert (wrong_method.status_code, wrong_method.json()["status"]) == (405, 405)
        assert (await client.get(f"{at.internal.origin}/internal/v1/nothing")).status_code == 404

        text = (await client.get(f"{at.internal.origin}/metrics")).text
        assert measured(text) == {
            ("registry_visits_total", "registry"): 1,
            ("relay_visits_total", "relay"): 1,
            ("shared_total", "registry"): 1,
            ("shared_total", "relay"): 1,
        }
        helps = [line for line in text.splitlines() if line.startswith("# HELP")]
        assert len(helps) == len(set(helps)) == len({line.split()[2] for line in helps})
    assert events == ["registry up", "relay up", "relay told", "relay down", "registry down"]


def test_parts_that_would_hide_each_other_do_not_compose() -> None:
    with pytest.raises(CompositionError):
        compose("box", [make_service("shop"), make_service("shop")])
    with pytest.raises(CompositionError):
        compose("box", [make_service("shop")], {"shop": make_service("other").public})
    with pytest.raises(CompositionError, match="ws_protocol"):
        compose("box", [make_service("a", ws_protocol="wsproto"), make_service("b", ws_protocol="none")])


PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from functools import partial
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.clock import SystemClock
from feedgate_kit.server import run
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.settings import ServiceSettings, settings_of
from prometheus_client import CollectorRegistry

class ShopSettings(ServiceSettings):
    model_config = settings_of("shop")
    fails: bool = False
    hangs: bool = False

def build(settings):
    @asynccontextmanager
    async def lifespan():
        print("starting", flush=True)
        try:
            if settings.fails:
                raise RuntimeError("no camera at rtsp://user:hunter2@camera/")
            if settings.hangs:
                await asyncio.Event().wait()
            yield
        except asyncio.CancelledError:
            print("given up", flush=True)
            raise
        print("ended", flush=True)
    verifier = TokenVerifier([], SystemClock())
    return Service(name="shop", public=create_public_app("shop", verifier),
                   internal=create_internal_app("shop", verifier), registry=CollectorRegistry(),
                   lifespan=lifespan)

raise SystemExit(run(ShopSettings, build))
"""


KEEPER = """
import asyncio, gc, os, signal
from collections import deque
from contextlib import asynccontextmanager
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.clock import SystemClock
from feedgate_kit.server import GARBAGE_AT_START, GARBAGE_WHEN_READY, run
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.settings import ServiceSettings, settings_of
from prometheus_client import CollectorRegistry

class ShopSettings(ServiceSettings):
    model_config = settings_of("shop")

kept = []

async def trade():
    assert gc.get_threshold() == GARBAGE_AT_START
    kept.extend([] for _ in range(1_000_000))
    while gc.get_threshold() != GARBAGE_WHEN_READY:
        await asyncio.sleep(0.05)
    looked = gc.get_stats()[2]["collections"]
    recent = deque(maxlen=30_000)
    for _ in range(400_000):
        recent.append([])
        recent[-1].append(recent[-1])
    print(gc.get_stats()[2]["collections"] - looked, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

def build(settings):
    @asynccontextmanager
    async def lifespan():
        trading = asyncio.create_task(trade())
        yield
        await trading
    verifier = TokenVerifier([], SystemClock())
    return Service(name="shop", public=create_public_app("shop", verifier),
                   internal=create_internal_app("shop", verifier), registry=CollectorRegistry(),
                   lifespan=lifespan, readiness=Readiness({"kept": lambda: bool(kept)}))

raise SystemExit(run(ShopSettings, build))
"""


@asynccontextmanager
async def shop_process(
    tmp_path: Path, text: str = PROGRAM, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    program = tmp_path / "shop.py"
    program.write_text(text)
    ports = {"FEEDGATE_SHOP_PUBLIC_PORT": "0", "FEEDGATE_SHOP_INTERNAL_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        env={**os.environ, **ports, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_a_ready_service_finds_old_garbage_however_much_it_keeps(tmp_path: Path) -> None:
    async with shop_process(tmp_path, KEEPER) as process:
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert int(said.split(b"\n")[-2]) > 3, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_ends_in_order_at_a_signal(tmp_path: Path, number: int) -> None:
    async with shop_process(tmp_path) as process:
        assert process.stderr is not None
        serving = json.loads(await process.stderr.readline())
        assert (serving["event"], serving["service"]) == ("serving", "shop")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{serving['public']}/readyz")).json() == {"ready": True}
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"starting\nended\n")
    assert all(json.loads(line) for line in err.splitlines())
    assert b"Traceback" not in err


async def test_a_signal_ends_a_start_under_way(tmp_path: Path) -> None:
    async with shop_process(tmp_path, FEEDGATE_SHOP_HANGS="true") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"starting\n"
        process.terminate()
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"given up\n", b"")


async def test_what_the_operator_can_put_right_is_one_line(tmp_path: Path) -> None:
    with open_listener(ANY) as taken:
        port = str(taken.getsockname()[1])
        async with shop_process(tmp_path, FEEDGATE_SHOP_INTERNAL_PORT=port) as process:
            out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith(f"FEEDGATE_SHOP_INTERNAL_PORT: port {port} ")
    assert err.count(b"\n") == 1


async def test_what_nobody_expected_is_one_redacted_line_in_the_log(tmp_path: Path) -> None:
    async with shop_process(tmp_path, FEEDGATE_SHOP_FAILS="true") as process:
        _, err = await process.communicate()
    assert process.returncode == 1
    assert json.loads(err)["event"] == "service failed"
    assert b"hunter2" not in err


async def test_a_refusal_before_a_websocket_is_a_problem_too() -> None:
    service = make_service("shop")

    @service.public.websocket("/shop/v1/closed")
    async def closed(websocket: WebSocket) -> None:
        raise Problem(403, "role-missing", detail=f"not on `{websocket.url.path}`")

    async with up(service) as (at, _):
        with pytest.raises(InvalidStatus) as raised:
            await connect(f"{at.public.websocket_origin}/shop/v1/closed", proxy=None)
    assert raised.value.response.status_code == 403
    assert b"urn:feedgate:problem:role-missing" in (raised.value.response.body or b"")


async def test_a_service_that_keeps_nothing_open_has_a_lifespan_too() -> None:
    async with no_lifespan():
        pass


async def test_health_is_what_readiness_says() -> None:
    ready = False
    service = make_service("registry", readiness=Readiness({"a database": lambda: ready}))
    async with running(service, ANY, ANY) as addresses:
        host, port = addresses.public.host, addresses.public.port
        assert await asyncio.to_thread(waiting_for, host, port) == ["a database"]
        ready = True
        assert await asyncio.to_thread(waiting_for, host, port) == []
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(waiting_for, host, port)
