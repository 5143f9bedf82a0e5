"""A relay that does as the test tells it, in the relay's own bytes, behind the demo's real page.

It speaks `feedgate_relay.wire` through the relay's own connection class, and
serves the real player and page; the right to see anything is the test's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from fastapi import FastAPI, WebSocket
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from feedgate_kit.clock import SystemClock
from feedgate_kit.composition import compose
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.tokens import LocalIssuer
from feedgate_relay.connection import EXTENSION, RelayWebSocketProtocol
from feedgate_relay.player_routes import player_routes
from feedgate_relay.wire import DISCONTINUITY, FRAGMENT, INIT, KEYFRAME, lease_frame, media_frame, text_frame
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, create_page_app
from tests.page.clip import PICTURES_PER_SECOND, TICKS, Clip, clip

LEASE_S = 1.0
ABORT_S = 0.25
GRANT = "0197c0de-0000-7000-8000-000000000001"
AUTHORISATION = "0197c0de-0000-7000-8000-000000000002"
CAMERA = "0197c0de-0000-7000-8000-000000000003"


class ScriptedView:
    """One view as the relay has it. Nothing happens in it by itself but leases, and pictures while it plays."""

    def __init__(self, number: int, notices: RelayWebSocketProtocol) -> None:
        self.number = number
        self.offered: list[str] = []
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent_at_s: dict[int, float] = {}  # wall clock, by picture number
        self.leases = True
        self.held: list[bytes] | None = None
        self._notices = notices
        self._media: asyncio.Future[RelayWebSocketProtocol] = asyncio.get_running_loop().create_future()
        self._clip: Clip = clip()
        self._said = 0
        self._next = 0
        self._sequence = 0
        self._ticks = 0  # of the next picture in its run
        self._every = 1
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def is_playing(self) -> bool:
        return "pictures" in self._tasks

    # What it says.

    def hello(self, **changes: Any) -> None:
        self.say({
            "type": "hello",
            "view_id": f"view-{self.number}",
            "grant_id": GRANT,
            "stream": f"{CAMERA}/original",
            "lease_ms": 3000,
            "media_path": "/relay/v1/relays/relay-1/media",
            "media_secret": f"secret-{self.number}",
            "view_until": rfc3339(300),
            **changes,
        })  # fmt: skip
        self._tasks["leases"] = asyncio.create_task(self._lease())

    def say(self, message: dict[str, Any]) -> None:
        self._notices.write(text_frame({"n": self._said, **message}))
        self._said += 1

    def notice(self, code: str, reason: str = "", detail: str = "") -> None:
        self.say({"type": "notice", "code": code, "reason": reason, "detail": detail, "at": rfc3339()})

    def lose_a_message(self) -> None:
        self._said += 1

    def end_media(self, code: int, reason: str) -> None:
        self._media.result().end(code, reason, ABORT_S)

    def end(self, code: int, reason: str) -> None:
        self._notices.end(code, reason, ABORT_S)

    def cut_notices(self) -> None:
        """As a network does it: no close frame."""
        self._notices.discard()

    async def next(self, kind: str, within_s: float = 10.0) -> dict[str, Any]:
        """The next message of this kind that the page says; others before it are passed over."""
        async with asyncio.timeout(within_s):
            while True:
                message = await self.heard.get()
                if message["type"] == kind:
                    return message

    # What it shows.

    async def play(self, code: str = "started") -> None:
        """Tell that pictures begin, and send them at the camera's rate, from a keyframe on."""
        await self.media()
        self.notice(code)
        self.begin_run()
        self.play_on()

    def play_on(self, *, every: int = 1) -> None:
        """Send pictures again, `every` times slower than the camera did, as one does when light fades."""
        self._ticks += (every - self._every) * TICKS
        self._every = every
        self._tasks["pictures"] = asyncio.create_task(
            self._play(first_after_s=(every - 1) / PICTURES_PER_SECOND)
        )

    async def media(self) -> RelayWebSocketProtocol:
        async with asyncio.timeout(10):
            return await asyncio.shield(self._media)

    def begin_run(self) -> None:
        """A new session of the camera: its init segment, and times that begin again."""
        while not self._clip.is_keyframe(self._next):
            self._next += 1
        self._sequence = 0
        self._ticks = 0
        self._write(INIT, DISCONTINUITY, self._clip.init)

    def skip_pictures(self) -> None:
        """Lose what is left of this GOP; times go on."""
        while True:
            self._next += 1
            self._sequence += 1
            self._ticks += TICKS
            if self._clip.is_keyframe(self._next):
                return

    @property
    def next_number(self) -> int:
        return self._next

    def send_picture(self, sent_s: float | None = None) -> int:
        """Send the next picture and return its number.

        Args:
            sent_s: what its header says of when it was sent, if not now.
        """
        number, sequence, ticks = self._next, self._sequence, self._ticks
        self._next += 1
        self._sequence += 1
        self._ticks += self._every * TICKS
        flags = KEYFRAME if self._clip.is_keyframe(number) else 0
        body = self._clip.fragment(number, sequence=sequence, ticks=ticks)
        self.sent_at_s[number] = time.time() if sent_s is None else sent_s
        self._write(FRAGMENT, flags, body, sent_s)
        return number

    def stop_pictures(self) -> None:
        task = self._tasks.pop("pictures", None)
        if task is not None:
            task.cancel()

    def hold(self) -> None:
        """Pictures wait on their way, as on a line that is held up."""
        self.held = []

    def release(self) -> None:
        """All that waited arrives at once."""
        held, self.held = self.held or [], None
        for frame in held:
            self._media.result().write(frame)

    async def finish(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def media_opened(self, connection: RelayWebSocketProtocol) -> None:
        self._media.set_result(connection)

    def _write(self, kind: int, flags: int, body: bytes, sent_s: float | None = None) -> None:
        sent_us = time.time_ns() // 1000 if sent_s is None else round(sent_s * 1_000_000)
        frame = media_frame(kind, flags, self._sequence, sent_us, body)
        if self.held is None:
            self._media.result().write(frame)
        else:
            self.held.append(frame)

    async def _lease(self) -> None:
        while True:
            if self.leases:
                self._notices.write(lease_frame(self._said))
                self._said += 1
            await asyncio.sleep(LEASE_S)

    async def _play(self, *, first_after_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + first_after_s
        while True:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.send_picture()
            due_s += self._every / PICTURES_PER_SECOND


class ScriptedRelay:
    """The page's whole world on one origin."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.owners = LocalIssuer.generate("urn:test:owners", self.clock, realm="owners")
        self.code = OneUseCode()
        self.origin = ""
        self.tickets = 0
        self.ticket_problem: dict[str, Any] | None = None
        self.ticket_view_until: str | None = None
        self.on_withdraw: Callable[[], None] = lambda: None
        self.views: list[ScriptedView] = []
        self.sessions = 0
        self.ledger: list[dict[str, Any]] = []
        self._opened: asyncio.Queue[ScriptedView] = asyncio.Queue()
        self._asked = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{self.origin}/demo/#{self.code.text}"

    async def next_view(self, *, greet: bool = True, within_s: float = 15.0) -> ScriptedView:
        """The next view that a page opens, greeted."""
        async with asyncio.timeout(within_s):
            view = await self._opened.get()
        if greet:
            view.hello()
        return view

    async def until_asked(self, tickets: int, within_s: float = 15.0) -> None:
        """Until so many tickets were asked for."""
        async with asyncio.timeout(within_s), self._asked:
            await self._asked.wait_for(lambda: self.tickets >= tickets)

    async def session(self) -> PageSession:
        return PageSession(
            owner_token=self.owners.mint("owner", ["owner"]),
            operator_token=self.owners.mint("operator", ["owner"]),
            camera_id=CAMERA,
            authorisation_id=AUTHORISATION,
            grant_id=GRANT,
            why="Case 4711, a shop robbed: the owner shares its door for an hour.",
        )

    async def begin_again(self) -> PageSession:
        self.sessions += 1
        return await self.session()

    # Its doors.

    def services(self, verifier: TokenVerifier) -> Service:
        public = create_public_app("relay", verifier)
        public.include_router(player_routes())
        public.add_api_websocket_route("/relay/v1/notices", self._notices)
        public.add_api_websocket_route("/relay/v1/relays/relay-1/media", self._media)
        return Service(
            name="relay",
            public=public,
            internal=create_internal_app("relay", verifier),
            registry=CollectorRegistry(),
            ws_protocol=RelayWebSocketProtocol,
        )

    def access_policy(self) -> FastAPI:
        app = FastAPI()

        @app.post("/access-policy/v1/grants/{grant}/tickets")
        async def ticket(grant: str) -> JSONResponse:
            async with self._asked:
                self.tickets += 1
                self._asked.notify_all()
            if self.ticket_problem is not None:
                return JSONResponse(self.ticket_problem, self.ticket_problem["status"])
            answer = {
                "ticket": f"ticket-{grant}-{self.tickets}",
                "expires_at": rfc3339(60),
                "view_until": self.ticket_view_until or rfc3339(300),
                "stream": f"{CAMERA}/original",
                "notices_url": "/relay/v1/notices",
            }
            return JSONResponse(answer, 201)

        return app

    def registry(self) -> FastAPI:
        app = FastAPI()

        @app.post("/registry/v1/authorisations/{authorisation}/withdraw")
        async def withdraw(authorisation: str) -> dict[str, Any]:
            self.on_withdraw()
            return {"authorisation": {"id": authorisation, "state": "withdrawn"}, "stopped_at": rfc3339()}

        @app.post("/registry/v1/cameras/{camera}/pause")
        async def pause(camera: str) -> dict[str, Any]:
            self.views[-1].stop_pictures()
            self.views[-1].notice("paused_by_owner", "paused")
            return {"id": camera, "sharing": "paused"}

        @app.post("/registry/v1/cameras/{camera}/resume")
        async def resume(camera: str) -> dict[str, Any]:
            await self.views[-1].play("resumed")
            return {"id": camera, "sharing": "on"}

        return app

    def audit(self) -> FastAPI:
        app = FastAPI()

        @app.get("/audit/v1/ledger")
        async def ledger(camera_id: str) -> dict[str, Any]:
            assert camera_id == CAMERA
            return {"items": self.ledger, "next": None}

        return app

    async def _notices(self, websocket: WebSocket) -> None:
        connection = await accepted(websocket)
        view = ScriptedView(len(self.views), connection)
        view.offered = websocket.scope["subprotocols"]
        self.views.append(view)
        self._opened.put_nowait(view)
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            view.heard.put_nowait(json.loads(message["text"]))

    async def _media(self, websocket: WebSocket) -> None:
        connection = await accepted(websocket)
        secret = next(name for name in websocket.scope["subprotocols"] if name.startswith("media."))
        self.views[int(secret.rpartition("-")[2])].media_opened(connection)
        while (await websocket.receive())["type"] != "websocket.disconnect":
            continue


async def accepted(websocket: WebSocket) -> RelayWebSocketProtocol:
    await websocket.accept("feedgate.v1")
    connection = cast("RelayWebSocketProtocol", websocket.scope["extensions"][EXTENSION])
    connection.begin()
    return connection


def rfc3339(in_s: float = 0.0) -> str:
    at = datetime.now(UTC) + timedelta(seconds=in_s)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@asynccontextmanager
async def scripted_relay(ticket_problem: dict[str, Any] | None = None) -> AsyncIterator[ScriptedRelay]:
    """A relay on a free port of loopback.

    Args:
        ticket_problem: the answer, with its `status`, to those who ask for a ticket.
    """
    relay = ScriptedRelay()
    relay.ticket_problem = ticket_problem
    async with TokenVerifier([relay.owners.config()], relay.clock) as verifier:
        composition = compose(
            "scripted",
            [relay.services(verifier)],
            extra={
                "demo": create_page_app(relay, relay.code, verifier, relay.clock),
                "access-policy": relay.access_policy(),
                "registry": relay.registry(),
                "audit": relay.audit(),
            },
        )
        anywhere = Listen("127.0.0.1", 0)
        async with running(composition, anywhere, anywhere, shutdown_s=0.2) as addresses:
            relay.origin = addresses.public.origin
            try:
                yield relay
            finally:
                for view in relay.views:
                    with suppress(asyncio.CancelledError):
                        await view.finish()
