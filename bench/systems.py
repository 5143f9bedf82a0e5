"""Whole systems with a camera and their people, on either bus."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.child import Child
from bench.servers import Deployment, deployment, gateway_of
from bench.world import AGENCY, POOL, Opened, World, box_settings, development_issuer, people_of
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings as CameraSettings


@dataclass(frozen=True, slots=True)
class Running:
    """A system with a camera registered in it."""

    world: World
    camera_id: str
    origins: tuple[str, ...]
    """Where viewers come in: the relays, or the gateway before them."""
    ca_file: Path | None = None
    """Vouches for them, if they speak TLS."""
    box: Child | None = None
    """The one process, where all services are one."""
    deployed: Deployment | None = None
    """The processes, where each service has its own."""

    async def offer_page(self, opened: Opened) -> str:
        """Let the demo's page have what was opened last; the link, which opens it once."""
        assert self.box is not None
        people, grant_id = opened.grants[0]
        code = await self.box.ask(
            "offer-page",
            owner_token=await people.cast.owner(),
            operator_token=await people.cast.operator(),
            camera_id=self.camera_id,
            authorisation_id=opened.authorisation_id,
            grant_id=grant_id,
            why="A bench.",
        )
        return f"{self.origins[0]}/demo/#{code}"

    async def views_of_each_relay(self) -> list[int]:
        """How many are open at each."""
        if self.deployed is None:
            return []
        relays = self.deployed.names("relay")
        return [round(await self.deployed.metric(relay, "relay_views_open")) for relay in relays]


@asynccontextmanager
async def embedded(settings: CameraSettings) -> AsyncIterator[Running]:
    """All services in one process, on the embedded backs."""
    async with (
        Simulator(settings) as camera,
        development_issuer() as issuer,
        Child("bench.under_test.one_box", box_settings(issuer)) as box,
        httpx.AsyncClient(base_url=box.listening["origin"], timeout=30.0) as http,
    ):
        world = people_of(issuer, http, AGENCY, POOL)
        camera_id = await world.owner.register_camera(camera.rtsp_url())
        yield Running(world, camera_id, (box.listening["origin"],), box=box)


@asynccontextmanager
async def kafka(
    settings: CameraSettings, *, relays: int = 1, brokers: int = 1, gateway: bool = False
) -> AsyncIterator[Running]:
    """Every service its own process, on Kafka and one PostgreSQL; people and viewers before a gateway, or none."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        camera = await stack.enter_async_context(Simulator(settings))
        deployed = await stack.enter_async_context(
            deployment(folder, brokers=brokers, processes={"relay": relays})
        )
        people = await stack.enter_async_context(deployed.people())
        http, ca_file = people.http, None
        origins = tuple(deployed.origin(relay) for relay in deployed.names("relay"))
        if gateway:
            door = stack.enter_context(gateway_of(folder, deployed))
            origins, ca_file = (door.origin,), door.ca_file
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=door.origin, verify=door.trust(), timeout=30.0)
            )
        world = people_of(deployed.issuer, http, people.agency, people.pool)
        camera_id = await world.owner.register_camera(camera.rtsp_url())
        yield Running(world, camera_id, origins, ca_file, deployed=deployed)
