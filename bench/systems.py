"""Whole systems with a camera and their people, on either bus."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.child import Child
from bench.servers import deployment
from bench.world import AGENCY, POOL, Opened, World, box_settings, development_issuer, people_of
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings as CameraSettings


@dataclass(frozen=True, slots=True)
class Running:
    """A system with a camera registered in it."""

    world: World
    camera_id: str
    relay_origin: str
    box: Child | None = None
    """The one process, where all services are one."""

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
        return f"{self.relay_origin}/demo/#{code}"


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
        yield Running(world, camera_id, box.listening["origin"], box)


@asynccontextmanager
async def kafka(settings: CameraSettings) -> AsyncIterator[Running]:
    """Every service its own process, on one broker and one PostgreSQL."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        camera = await stack.enter_async_context(Simulator(settings))
        deployed = await stack.enter_async_context(deployment(folder))
        people = await stack.enter_async_context(deployed.people())
        world = people_of(deployed.issuer, people.http, people.agency, people.pool)
        camera_id = await world.owner.register_camera(camera.rtsp_url())
        yield Running(world, camera_id, deployed.origin("relay"))
