"""One real box with a simulated camera, shared with an agency, and the road its page is reached by."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import running
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, create_page_app
from feedgate_tools.demo.story import Cast, People, Shared, eventually
from feedgate_tools.issuer import DevelopmentIssuer
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.page.road import Road, road

AGENCY = "demo-police"
POOL = "local"
READY_S = 30.0


class Script:
    """What the page may ask for; the people play it over the real APIs."""

    def __init__(self) -> None:
        self.people: People
        self.shared: Shared

    async def session(self) -> PageSession:
        return PageSession(
            owner_token=await self.people.cast.owner(),
            operator_token=await self.people.cast.operator(),
            camera_id=self.shared.camera_id,
            authorisation_id=self.shared.authorisation_id,
            grant_id=self.shared.grant_id,
            why="An assault in front of a shop.",
        )

    async def begin_again(self) -> PageSession:
        self.shared = await self.people.open_share(self.shared.camera_id)
        return await self.session()


@dataclass
class SharedCamera:
    """A camera that is shared, and everything to watch and stop it."""

    people: People
    script: Script
    road: Road
    url: str
    simulator: Simulator


@asynccontextmanager
async def shared_camera(folder: Path) -> AsyncIterator[SharedCamera]:
    clock = SystemClock()
    code, script = OneUseCode(), Script()
    camera = Settings(size="640x360", kbps=800, user="shop", password="simulated-only")
    async with (
        Simulator(camera) as simulator,
        DevelopmentIssuer(clock, agency=AGENCY) as issuer,
        TokenVerifier(issuer.issuers_config(), clock) as verifier,
        road() as way,
    ):
        settings = UpSettings(
            public_port=0,
            internal_port=0,
            public_origin=way.origin,
            pool=POOL,
            allowed_networks=("127.0.0.1/32",),
        )
        agency = Agency(id=AGENCY, name="Demo Police", jurisdiction="AR", issuer=issuer.agency_issuer(AGENCY))
        with open_data_folder(folder) as data:
            async with (
                one_box(
                    data,
                    settings,
                    issuers=issuer.issuers_config(),
                    agencies={AGENCY: agency},
                    clock=clock,
                    extra={"demo": create_page_app(script, code, verifier, clock)},
                ) as box,
                running(box, settings.public_listen, settings.internal_listen, shutdown_s=0.5) as addresses,
                httpx.AsyncClient(base_url=addresses.public.origin, timeout=15.0) as http,
            ):
                way.target_port = addresses.public.port
                await eventually(
                    lambda: http.get("/readyz"), lambda answer: answer.is_success, READY_S, "the box"
                )
                script.people = People(http, cast_of(issuer), agency=AGENCY, pool=POOL)
                camera_id = await script.people.register_camera(simulator.rtsp_url())
                script.shared = await script.people.open_share(camera_id)
                url = f"{way.origin}/demo/#{code.text}"
                yield SharedCamera(script.people, script, way, url, simulator)


def cast_of(issuer: DevelopmentIssuer) -> Cast:
    return Cast(
        owner=issuer.person("owner").token_source(),
        operator=issuer.person("operator").token_source(),
        supervisor=issuer.person("supervisor").token_source(),
        developer=issuer.person("agency-system").token_source(),
    )
