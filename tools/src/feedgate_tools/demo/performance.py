"""The demo's life: everything put up, the story played, the page shown, everything taken down."""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx
import uvloop

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import Clock, SystemClock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen, address_of, open_listener
from feedgate_kit.redaction import redact_text
from feedgate_kit.server import running
from feedgate_kit.telemetry import configure_logging
from feedgate_tools.demo.camera_source import CameraSource, open_camera
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, StoryError, create_page_app
from feedgate_tools.demo.story import Cast, Outcome, People, Shared, Story, eventually
from feedgate_tools.demo.teller import Teller, strong
from feedgate_tools.demo.terminal import on_enter
from feedgate_tools.issuer import DevelopmentIssuer

AGENCY: Final = "demo-police"
POOL: Final = "local"
READY_WITHIN_S: Final = 30.0
WHY: Final = (
    "Case IPP-01-00-012345-26: an assault in front of a shop. The owner shares with the demo police to "
    "investigate; the supervisor approved one camera for one hour."
)

EVERY_STEP_HAPPENED: Final = 0
STEP_MISSED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT
ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(FeedgateError):
    """The demo cannot begin."""


@dataclass(frozen=True, slots=True)
class Programme:
    """What was asked of the demo."""

    camera: str | None = field(repr=False)  # holds a password
    headless: bool
    result: Path | None
    verbose: bool


def perform(programme: Programme, teller: Teller) -> int:
    """Play the story, and unless it is headless show the page until interrupted; the exit status.

    Raises:
        FeedgateError: it could not begin.
    """
    configure_logging("INFO" if programme.verbose else "CRITICAL")
    if programme.result is not None:
        # Before the story: an unwritable file is known at once, and one of an earlier story is gone.
        _write(programme.result, Outcome())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Performance(programme, teller).run())


class _Performance:
    """One evening."""

    def __init__(self, programme: Programme, teller: Teller) -> None:
        self.programme = programme
        self.teller = teller
        self.outcome = Outcome()
        self.told = False  # the whole story

    async def run(self) -> int:
        """Play until the end or a signal; whatever comes, everything is taken down in order."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in ENDING_SIGNALS:
            # Kept to the end: an impatient second Ctrl-C must not cut short what tidies up.
            loop.add_signal_handler(number, ended.set)
        playing = asyncio.create_task(self._play())
        signalled = asyncio.create_task(ended.wait())
        await asyncio.wait({playing, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if not playing.done():
            playing.cancel()
            # Whatever the interrupted step says now is no news to who interrupted it.
            await asyncio.gather(playing, return_exceptions=True)
            self.teller.end()
            return EVERY_STEP_HAPPENED if self.told else INTERRUPTED
        try:
            await playing
        except StoryError as error:
            sys.stderr.write(f"\nthe story broke off: {redact_text(str(error))}\n")
            return STEP_MISSED
        return EVERY_STEP_HAPPENED

    async def _play(self) -> None:
        clock = SystemClock()
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(open_camera(self.programme.camera))
            issuer = await stack.enter_async_context(DevelopmentIssuer(clock, agency=AGENCY))
            page, code = _Page(), OneUseCode()
            origin = await stack.enter_async_context(_box(source, issuer, page, code, clock))
            cast = _cast(issuer)
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=origin, timeout=15.0))
            people = People(http, cast, agency=AGENCY, pool=POOL)
            camera = "a simulated camera" if source.is_simulated else "your camera"
            up_s = self.teller.elapsed_s()
            self.teller.say("feedgate", "is up at ", strong(origin), f" with {camera}")
            camera_id = await self._tell(people, origin, source)
            self._show_figures(up_s)
            if self.programme.headless:
                self.told = True
                return
            page.people, page.cast = people, cast
            page.shared = await people.open_share(camera_id)
            self.told = True
            self.teller.say("everybody", "does it once more, for you to see")
            await self._show_page(origin, code)

    async def _show_page(self, origin: str, code: OneUseCode) -> None:
        def show(code: str) -> None:
            self.teller.show_link(f"{origin}/demo/#{code}", gives_more=gives_more)

        with on_enter(lambda: show(code.renew())) as gives_more:
            show(code.text)
            await asyncio.Event().wait()

    async def _tell(self, people: People, origin: str, source: CameraSource) -> str:
        try:
            return await Story(people, origin, self.teller.say, self.outcome).play(source.url)
        finally:
            if self.programme.result is not None:
                _write(self.programme.result, self.outcome)

    def _show_figures(self, up_s: float) -> None:
        outcome = self.outcome
        last_ms = outcome.withdrawal_to_last_picture_ms
        self.teller.show_figures(
            "Where the time went",
            [
                ("command to everything up", f"{1_000 * up_s:,.0f} ms", ""),
                (
                    "asking to first picture",
                    f"{outcome.first_picture_ms:,.0f} ms",
                    "500 ms margin, then the camera's next keyframe",
                ),
                ("withdrawal to viewer's notice", f"{outcome.withdrawal_to_notice_ms:,.1f} ms", ""),
                (
                    "withdrawal to last picture",
                    f"{last_ms:,.1f} ms",
                    "" if last_ms else "none came after the owner's call",
                ),
            ],
        )


@asynccontextmanager
async def _box(
    source: CameraSource, issuer: DevelopmentIssuer, page: "_Page", code: OneUseCode, clock: Clock
) -> AsyncIterator[str]:
    """`feedgate up` in a temporary folder on free ports, with the demo's page; its public origin."""
    agencies = {
        AGENCY: Agency(id=AGENCY, name="Demo Police", jurisdiction="AR", issuer=issuer.agency_issuer(AGENCY))
    }
    issuers = issuer.issuers_config()
    with (
        tempfile.TemporaryDirectory(prefix="feedgate-demo-") as folder,
        open_data_folder(Path(folder)) as data,
        open_listener(Listen("127.0.0.1", 0)) as listener,
    ):
        origin = address_of(listener).origin
        settings = UpSettings(
            internal_port=0, public_origin=origin, pool=POOL, allowed_networks=source.networks
        )
        async with (
            TokenVerifier(issuers, clock) as verifier,
            one_box(
                data,
                settings,
                issuers=issuers,
                agencies=agencies,
                clock=clock,
                extra={"demo": create_page_app(page, code, verifier, clock)},
            ) as box,
            running(
                replace(box, make_socket=lambda _: listener),
                settings.public_listen,
                settings.internal_listen,
                shutdown_s=2.0,
            ),
        ):
            await _until_ready(origin)
            yield origin


async def _until_ready(origin: str) -> None:
    async with httpx.AsyncClient(base_url=origin) as http:

        async def waits_for() -> list[str]:
            answer = (await http.get("/readyz")).json()
            return [] if answer["ready"] else answer["waiting_for"]

        try:
            await eventually(waits_for, lambda waiting: not waiting, READY_WITHIN_S, "every service")
        except StoryError as error:
            raise DemoError(f"{error}: {', '.join(await waits_for())}") from None


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
    """Write what is known so far.

    Raises:
        DemoError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DemoError(f"--json: `{path}` cannot be written: {error.strerror}") from None
