"""`feedgate demo`: a camera, all services and the people of the story, in one command."""

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvloop
from rich.console import Console

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.addresses import RtspUrlError, parse_rtsp_url
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import Clock, SystemClock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Address, Listen, address_of, open_listener
from feedgate_kit.server import running, stop_signals
from feedgate_kit.telemetry import configure_logging
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, StoryError, create_page_app
from feedgate_tools.demo.story import Cast, Outcome, People, Shared, Story
from feedgate_tools.issuer import DevelopmentIssuer
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings as CameraSettings

AGENCY = "demo-police"
POOL = "local"
WHY = (
    "Case IPP-01-00-012345-26: an assault in front of a shop. The owner shares with the demo police to "
    "investigate; the supervisor approved one camera for one hour."
)


class DemoError(FeedgateError):
    """The demo cannot begin."""


@dataclass(frozen=True, slots=True)
class CameraSource:
    """The camera of the story: its address with credentials, and the network it may be pulled from."""

    url: str
    network: str


def demo(
    camera: Annotated[
        str | None,
        typer.Option(
            envvar="FEEDGATE_DEMO_CAMERA",
            show_envvar=True,
            metavar="RTSP_URL",
            help="Your own camera instead of a simulated one: rtsp://user:pass@host/path.",
        ),
    ] = None,
    headless: Annotated[bool, typer.Option(help="End after the story instead of showing the page.")] = False,
    result: Annotated[
        Path | None, typer.Option("--json", help="Write what was measured to this file.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Show the services' log.")] = False,
) -> None:
    """Play the whole story on this machine: share a camera, watch it, stop it, prove it."""
    configure_logging("INFO" if verbose else "ERROR")
    began_s = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_interrupted(camera or None, headless, result, began_s))
    except StoryError as error:
        sys.stderr.write(f"the story broke off: {error}\n")
        raise typer.Exit(1) from None


async def _until_interrupted(camera: str | None, headless: bool, result: Path | None, began_s: float) -> None:
    """Play, or stop at once and in order when interrupted."""
    with stop_signals() as stopped:
        playing = asyncio.create_task(_play(camera, headless, result, began_s))
        interrupted = asyncio.create_task(_finish(stopped))
        await asyncio.wait({playing, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        was_interrupted = not playing.done()
        playing.cancel()
        interrupted.cancel()
        await asyncio.gather(interrupted, return_exceptions=True)
        try:
            await playing
        except asyncio.CancelledError:
            if was_interrupted and headless:
                raise StoryError("interrupted") from None


async def _finish(stopped: object) -> None:
    await stopped()  # type: ignore[operator]  # what `stop_signals` gives


async def _play(camera: str | None, headless: bool, result: Path | None, began_s: float) -> None:
    console = Console(highlight=False)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        source = _own_camera(camera) if camera else await stack.enter_async_context(_simulated_camera())
        issuer = await stack.enter_async_context(DevelopmentIssuer(clock, agency=AGENCY))
        code = OneUseCode()
        page = _Page()
        verifier = await stack.enter_async_context(TokenVerifier(issuer.issuers_config(), clock))
        address = await stack.enter_async_context(_box(source, issuer, page, code, verifier, clock))
        cast = _cast(issuer)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=address.origin, timeout=15.0))
        people = People(http, cast, agency=AGENCY, pool=POOL)

        def say(line: str) -> None:
            console.print(f"[dim]{time.monotonic() - began_s:6.1f} s[/dim]  {line}", soft_wrap=True)

        say(f"feedgate    is up at {address.origin} with {'your' if camera else 'a simulated'} camera")
        story = Story(people, address.origin, say)
        camera_id = await story.play(source.url)
        if result is not None:
            _write(result, story.outcome)
        if headless:
            return
        page.people, page.cast = people, cast
        page.shared = await people.open_share(camera_id)
        say("everybody   does it once more, for you to see:")
        console.print(f"\n    {address.origin}/demo/#{code.text}\n", soft_wrap=True)
        console.print("Open it once; it is yours alone. Ctrl-C ends everything.")
        await asyncio.Event().wait()


@asynccontextmanager
async def _simulated_camera() -> AsyncIterator[CameraSource]:
    settings = CameraSettings(user="shop", password="simulated-only")  # noqa: S106 - of a camera that lives for a minute
    async with Simulator(settings) as simulator:
        yield CameraSource(simulator.rtsp_url(), "127.0.0.1/32")


def _own_camera(url: str) -> CameraSource:
    """The reader's camera; its pool is then allowed exactly that address.

    Raises:
        DemoError: it is no RTSP URL, or its host has no address.
    """
    try:
        parsed = parse_rtsp_url(url)
        address = ip_address(socket.getaddrinfo(parsed.host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (RtspUrlError, OSError) as error:
        raise DemoError(f"CAMERA cannot be used: {error}") from None
    return CameraSource(url, f"{address}/{address.max_prefixlen}")


@asynccontextmanager
async def _box(
    source: CameraSource,
    issuer: DevelopmentIssuer,
    page: "_Page",
    code: OneUseCode,
    verifier: TokenVerifier,
    clock: Clock,
) -> AsyncIterator[Address]:
    """`feedgate up` in a temporary folder on free ports, with the demo's page."""
    public = open_listener(Listen("127.0.0.1", 0))
    address = address_of(public)
    public.close()
    settings = UpSettings(
        public_port=address.port,
        internal_port=0,
        public_origin=address.origin,
        pool=POOL,
        allowed_networks=(source.network,),
    )
    agencies = {
        AGENCY: Agency(id=AGENCY, name="Demo Police", jurisdiction="AR", issuer=issuer.agency_issuer(AGENCY))
    }
    with (
        tempfile.TemporaryDirectory(prefix="feedgate-demo-") as folder,
        open_data_folder(Path(folder)) as data,
    ):
        async with (
            one_box(
                data,
                settings,
                issuers=issuer.issuers_config(),
                agencies=agencies,
                clock=clock,
                extra={"demo": create_page_app(page, code, verifier, clock)},
            ) as box,
            running(box, settings.public_listen, settings.internal_listen, shutdown_s=2.0) as addresses,
        ):
            await _until_ready(addresses.public.origin)
            yield addresses.public


async def _until_ready(origin: str) -> None:
    async with httpx.AsyncClient(base_url=origin) as http:
        for _ in range(600):
            answer = await http.get("/readyz")
            if answer.is_success:
                return
            await asyncio.sleep(0.05)
        raise DemoError(f"not ready after 30 s, still waiting for {answer.json()['waiting_for']}")


def _cast(issuer: DevelopmentIssuer) -> Cast:
    return Cast(
        owner=issuer.person("owner").token_source(),
        operator=issuer.person("operator").token_source(),
        supervisor=issuer.person("supervisor").token_source(),
        developer=issuer.person("agency-system").token_source(),
    )


class _Page:
    """What the page may do: see its session, and let the story begin again."""

    people: People
    cast: Cast
    shared: Shared

    async def session(self) -> PageSession:
        return PageSession(
            owner_token=await self.cast.owner(),
            operator_token=await self.cast.operator(),
            camera_id=self.shared.camera_id,
            authorisation_id=self.shared.authorisation_id,
            grant_id=self.shared.grant_id,
            why=WHY,
        )

    async def begin_again(self) -> PageSession:
        self.shared = await self.people.open_share(self.shared.camera_id)
        return await self.session()


def _write(path: Path, outcome: Outcome) -> None:
    path.write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")
