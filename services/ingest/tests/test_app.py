"""The service as a whole, on the embedded bus, with a scripted camera."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from pydantic import SecretStr

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.feed.v1.feed_pb2 import FeedState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_ingest.adapters.scripted_camera import ScriptedCamera
from feedgate_ingest.app import create_app
from feedgate_ingest.arrival import Pulse
from feedgate_ingest.ports import IngestPorts
from feedgate_ingest.settings import IngestSettings
from feedgate_ingest.source import PoolKeys
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.sealing import private_key_text
from feedgate_kit.service import Service
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE, dead_letters
from services.ingest.tests.coded import KEY, TRACK, picture
from services.ingest.tests.yard import Names, Vault

CLOCK = SystemClock()


@asynccontextmanager
async def put_together() -> AsyncIterator[tuple[Service, EmbeddedBus, ScriptedCamera]]:
    bus, camera, vault = EmbeddedBus(None, CLOCK), ScriptedCamera(), Vault()
    settings = IngestSettings.model_validate(
        {
            "pool": "yard",
            "skew_s": 0,
            "worker_id": "worker",
            "pool_private_key": SecretStr(private_key_text(vault.private_key)),
        }
    )
    ports = IngestPorts(
        bus=bus,
        camera=camera,
        vault=vault,
        resolver=Names(),
        pool_keys=PoolKeys({"key": vault.private_key}),
        pulse=Pulse(CLOCK),
        clock=CLOCK,
    )
    service = create_app(settings, ports)
    await bus.start()
    try:
        yield service, bus, camera
    finally:
        await bus.close()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Service, EmbeddedBus, ScriptedCamera]]:
    async with put_together() as (service, bus, camera), service.lifespan():
        yield service, bus, camera


async def share(bus: EmbeddedBus) -> None:
    state = CameraState(
        camera_id="cam", version=1, sharing=SHARING_ON, ingest_pool="yard", pool_version=1
    ).SerializeToString()
    await bus.state_log(CAMERA_STATE).append(Record("cam", state, {VERSION_HEADER: "1"}))


async def beat(bus: EmbeddedBus) -> None:
    heartbeat = Heartbeat()
    heartbeat.as_of.FromMicroseconds(CLOCK.now_us())
    await bus.state_log(CAMERA_STATE).append(Record(HEARTBEAT_KEY, heartbeat.SerializeToString()))


async def demand(bus: EmbeddedBus) -> None:
    message = StreamDemanded(stream="cam/original", relay_id="relay")
    message.demanded_at.FromMicroseconds(CLOCK.now_us())
    await bus.event_log(DEMAND_EVENTS).append(Record("cam", message.SerializeToString()))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)


async def test_it_is_ready_once_the_owners_will_is_fresh() -> None:
    async with running() as (service, bus, _):
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(service.internal_app), base_url="http://ingest.test"
        )
        assert (await client.get("/readyz")).json() == {
            "ready": False,
            "waiting_for": ["the owners' will, fresh"],
        }
        await beat(bus)
        await until(lambda: not service.readiness.waiting_for())
        assert (await client.get("/readyz")).status_code == 200


async def test_demand_on_the_bus_becomes_pictures_on_the_bus() -> None:
    async with running() as (service, bus, camera):
        tail = await bus.media_feed(ACCESS_UNITS).open_tail("cam/original")
        await share(bus)
        await beat(bus)
        await demand(bus)
        await until(lambda: bool(camera.connections))
        camera.connections[0].begin(TRACK)
        camera.connections[0].send(picture(0, KEY))
        record = await anext(aiter(tail))
        await tail.close()
        assert record.key == "cam/original"
        metrics = httpx.AsyncClient(
            transport=httpx.ASGITransport(service.internal_app), base_url="http://ingest.test"
        )
        page = (await metrics.get("/metrics")).text
        assert 'ingest_access_units_published_total{service="ingest"} 1.0' in page
        assert 'ingest_cameras{phase="live",service="ingest"} 1.0' in page
        assert "cam/original" not in page


async def test_what_is_no_demand_goes_to_the_dead_letters() -> None:
    async with running() as (_, bus, _):
        letters = bus.event_log(dead_letters(DEMAND_EVENTS)).tail(None)
        arriving = asyncio.ensure_future(anext(letters))
        await asyncio.sleep(0)
        await bus.event_log(DEMAND_EVENTS).append(Record("cam", b"\xff"))
        letter = await arriving
        await letters.aclose()
        assert letter.record.headers["dlq-topic"] == DEMAND_EVENTS
        assert letter.record.value == b"\xff"


async def test_at_its_end_it_hangs_up_and_says_so() -> None:
    async with put_together() as (service, bus, camera):
        async with service.lifespan():
            await share(bus)
            await beat(bus)
            await demand(bus)
            await until(lambda: bool(camera.connections))
        assert not camera.connections[0].is_open
        records = await (await bus.state_log(FEED_STATE).open_reader()).read_to_end()
    assert FeedState.FromString(records[-1].value).reason == "worker_ended"
