"""The story the demo plays: four people and one developer, over the real HTTP and WebSocket APIs."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Protocol, Self

import httpx
from websockets.exceptions import WebSocketException

from feedgate_client import ClientError, FeedgateClient, Notice, Picture, RefusedError, View
from feedgate_client.pictures import matches
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.tokens import TokenSource
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.teller import Part, strong

PICTURES_WATCHED = 100
"""Enough for four seconds at 25 pictures a second."""

WATCHED_S = 10.0
"""A camera with fewer pictures a second is watched for so long."""

FIRST_PICTURE_TIMEOUT_S = 15.0
"""A camera may take 5 s to connect and describe itself, 5 s to play, and 3 s to its next keyframe."""

FEED_LOOK_S = 0.25
STEP_TIMEOUT_S = 30.0
EVENTS_TIMEOUT_S = 5.0
LEDGER_TIMEOUT_S = 10.0

PLACE = {"type": "Point", "coordinates": [-59.13316, -37.32167]}
NECESSITY = (
    "A person was hurt in front of the shop minutes ago and the person who did it is still in the "
    "street; no patrol can see the corner before it arrives."
)

HOPELESS_PHASE = "refused"
"""Of a feed that the owner has to mend; `retrying` may pass by itself."""


class NotNowError(StoryError):
    """A service cannot say at the moment, as where nobody has vouched for the cameras lately; asked again, it may."""


class Say(Protocol):
    """Tells one step: who, and what they do."""

    def __call__(self, who: str, *parts: Part) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody's access tokens."""

    owner: TokenSource
    operator: TokenSource
    supervisor: TokenSource
    developer: TokenSource  # the agency's system account


@dataclass(frozen=True, slots=True)
class Shared:
    """What is open between the owner and the agency."""

    camera_id: str
    authorisation_id: str
    grant_id: str


@dataclass(slots=True)
class Outcome:
    """What was measured, by the clocks of the people's own process; None is not measured."""

    first_picture_ms: float | None = None
    """From the operator's asking for a ticket to the first picture."""
    withdrawal_to_notice_ms: float | None = None
    """From the owner's call to the viewer's notice."""
    withdrawal_to_last_picture_ms: float | None = None
    """From the owner's call to the last picture received; 0 if none came after the call."""
    pictures: int = 0
    frame_events: int = 0
    pictures_after_withdrawal: int = 0
    """Received after the notice."""
    digests_matched: int = 0
    """Pictures whose digest, made anew from the bytes received, was in a frame event."""
    notices: list[str] = field(default_factory=list)
    """Codes of the viewer's notices in their order."""


class People:
    """What each person does, one HTTP call after the other."""

    def __init__(self, http: httpx.AsyncClient, cast: Cast, *, agency: str, pool: str) -> None:
        """Act through `http`, whose base URL is the public origin."""
        self.http = http
        self.cast = cast
        self.agency = agency
        self.pool = pool

    async def register_camera(self, source_url: str) -> str:
        """The owner registers the camera; its id."""
        camera = await self.call(
            self.cast.owner,
            "POST",
            "/registry/v1/cameras",
            {
                "name": "Corner of the shop",
                "place": PLACE,
                "bearing_degrees": 40.0,
                "field_of_view_degrees": 90.0,
                "jurisdiction": "AR",
                "source": {"url": source_url},
                "ingest_pool": self.pool,
            },
        )
        return str(camera["id"])

    async def authorise(self, camera_id: str) -> str:
        """The owner lets the agency look, for one purpose and a month; the authorisation's id."""
        authorisation = await self.call(
            self.cast.owner,
            "POST",
            f"/registry/v1/cameras/{camera_id}/authorisations",
            {
                "agencies": [self.agency],
                "purposes": ["investigate"],
                "expires_at": _rfc3339(datetime.now(UTC) + timedelta(days=30)),
                "approval_mode": "standing",
            },
        )
        return str(authorisation["id"])

    async def report_incident(self) -> str:
        """The operator opens an incident; its id."""
        incident = await self.call(
            self.cast.operator,
            "POST",
            "/access-policy/v1/incidents",
            {
                "number": "INC-2026-004211",
                "place": PLACE,
                "occurred_at": _rfc3339(datetime.now(UTC)),
                "description": "Assault in front of a shop",
            },
        )
        return str(incident["id"])

    async def find_cameras(self, incident_id: str) -> list[str]:
        """The operator looks which cameras near the incident share with the agency; their ids."""
        path = f"/access-policy/v1/incidents/{incident_id}/cameras?radius_m=500"
        answer = await self.call(self.cast.operator, "GET", path)
        return [str(camera["camera_id"]) for camera in answer["items"]]

    async def ask(self, incident_id: str, camera_id: str) -> str:
        """The operator asks, naming purpose, case and both legal bases; the request's id."""
        now = datetime.now(UTC)
        request = await self.call(
            self.cast.operator,
            "POST",
            "/access-policy/v1/requests",
            {
                "incident_id": incident_id,
                "purpose": "investigate",
                "case_number": "IPP-01-00-012345-26",
                "camera_ids": [camera_id],
                "window": {"not_before": _rfc3339(now), "not_after": _rfc3339(now + timedelta(hours=1))},
                "bases": [
                    {
                        "basis_code": "AR.25326.5-2-b",
                        "evidence": {
                            "legal_provision": "Ley 25.326 art. 5.2.b",
                            "function_of_state": "Investigation of an assault",
                            "requesting_body": "Demo Police, North Station",
                            "purpose": "Identify the person who fled",
                            "cesionario_id": "DEMO-POLICE-NORTH",
                        },
                    },
                    {
                        "basis_code": "AR.25326.23-2",
                        "evidence": {
                            "mission_legal_basis": "Ley 25.326 art. 23.2",
                            "strict_need": "The one camera that sees the corner",
                            "file_id": "IPP-01-00-012345-26",
                            "reliability_grade": "B2",
                        },
                    },
                ],
                "necessity": NECESSITY,
            },
        )
        return str(request["id"])

    async def approve(self, request_id: str) -> str:
        """The supervisor, another person, approves; the grant's id."""
        request = await self.call(
            self.cast.supervisor,
            "POST",
            f"/access-policy/v1/requests/{request_id}/approve",
            {"reasons": "Facts checked with the dispatcher; one camera, one hour."},
        )
        return str(request["grants"][0]["id"])

    async def withdraw(self, authorisation_id: str) -> dict[str, Any]:
        """The owner stops sharing."""
        path = f"/registry/v1/authorisations/{authorisation_id}/withdraw"
        answer: dict[str, Any] = await self.call(self.cast.owner, "POST", path)
        return answer

    async def read_feed(self, camera_id: str) -> dict[str, Any]:
        """The owner looks how the camera fares: phase, reason, a sentence."""
        camera = await self.call(self.cast.owner, "GET", f"/registry/v1/cameras/{camera_id}")
        feed: dict[str, Any] = camera["feed"]
        return feed

    async def read_ledger(self, camera_id: str) -> list[dict[str, Any]]:
        """The owner reads who looked, newest first."""
        page = await self.call(self.cast.owner, "GET", f"/audit/v1/ledger?camera_id={camera_id}")
        entries: list[dict[str, Any]] = page["items"]
        return entries

    async def open_share(self, camera_id: str) -> Shared:
        """Everything between the owner's yes and a grant."""
        authorisation_id = await self.authorise(camera_id)
        incident_id = await self.report_incident()
        await self.until_found(incident_id, camera_id)
        grant_id = await self.approve(await self.ask(incident_id, camera_id))
        return Shared(camera_id, authorisation_id, grant_id)

    async def until_found(self, incident_id: str, camera_id: str) -> list[str]:
        """Look for cameras until this one, just shared, is among them.

        Raises:
            StoryError: it did not appear in time.
        """
        found: list[str] = await eventually(
            lambda: self.find_cameras(incident_id),
            lambda found: camera_id in found,
            STEP_TIMEOUT_S,
            "the camera near the incident",
        )
        return found

    async def call(self, token: TokenSource, method: str, path: str, body: Any = None) -> Any:
        """One call as one person.

        Raises:
            StoryError: it was refused, and why, or there was no answer.
            NotNowError: the service cannot say now.
        """
        step = f"{method} {path.split('?', maxsplit=1)[0]}"
        try:
            headers = {"Authorization": f"Bearer {await token()}"}
            answer = await self.http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise StoryError(f"{step}: no answer, {type(error).__name__}") from error
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            raise NotNowError(f"{step}: 503 {_problem(answer)}")
        if answer.is_error:
            raise StoryError(f"{step}: {answer.status_code} {_problem(answer)}")
        return answer.json()


class Story:
    """From the registration to the owner's ledger."""

    def __init__(self, people: People, origin: str, say: Say, outcome: Outcome) -> None:
        """Tell each step through `say`, and put what is measured into `outcome` as it is known."""
        self.people = people
        self.origin = origin
        self.say = say
        self.outcome = outcome
        self.stopped_at = ""

    async def play(self, source_url: str) -> str:
        """Play it to its end; the camera's id.

        Raises:
            StoryError: a step did not happen.
        """
        try:
            return await self._play(source_url)
        except (ClientError, WebSocketException, httpx.HTTPError, OSError) as error:
            raise StoryError(f"{type(error).__name__}: {error}") from error

    async def _play(self, source_url: str) -> str:
        people, say = self.people, self.say
        camera_id = await people.register_camera(source_url)
        say("owner", "registers the camera; its address and password are sealed")
        authorisation_id = await people.authorise(camera_id)
        say("owner", "lets ", strong(people.agency), " look, to investigate, for 30 days")
        incident_id = await people.report_incident()
        found = await people.until_found(incident_id, camera_id)
        say(
            "operator",
            "reports an incident; ",
            strong(f"{len(found)} camera"),
            " near it is shared with them",
        )
        request_id = await people.ask(incident_id, camera_id)
        say("operator", "asks: purpose, case, both legal bases and their evidence")
        grant_id = await people.approve(request_id)
        say("supervisor", "approves, a second person: one grant for one camera")
        async with (
            FeedgateClient(self.origin, people.cast.developer) as developer,
            FeedgateClient(self.origin, people.cast.operator) as operator,
        ):
            async with _Developer(developer) as received:
                await received.until_listening()
                watching = await self._watch(operator, camera_id, grant_id, authorisation_id)
                await self._match(watching, received)
            await self._try_again(operator, grant_id)
        await self._read_ledger(camera_id, grant_id)
        return camera_id

    async def _watch(
        self, operator: FeedgateClient, camera_id: str, grant_id: str, authorisation_id: str
    ) -> "_Watching":
        asked_s = time.perf_counter()
        async with operator.open_view(grant_id) as view:
            watching = _Watching(view)
            await self._first_picture(watching, camera_id)
            self.outcome.first_picture_ms = _ms(watching.first_picture_s - asked_s)
            figure = strong(f"{self.outcome.first_picture_ms:,.0f} ms")
            self.say("operator", "takes a ticket; the first picture is there after ", figure)
            enough_s = watching.first_picture_s + WATCHED_S
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    await watching.until(
                        lambda: len(watching.pictures) >= PICTURES_WATCHED or time.perf_counter() >= enough_s
                    )
                    await self._withdraw(watching, authorisation_id)
            except TimeoutError:
                raise StoryError(f"pictures stopped coming; {await self._feed(camera_id)}") from None
        return watching

    async def _first_picture(self, watching: "_Watching", camera_id: str) -> None:
        """Wait for it, and tell meanwhile why it does not come."""
        first = asyncio.create_task(watching.until(lambda: len(watching.pictures) >= 1))
        hopeless = asyncio.create_task(self._until_hopeless(camera_id))
        try:
            async with asyncio.timeout(FIRST_PICTURE_TIMEOUT_S):
                await asyncio.wait({first, hopeless}, return_when=asyncio.FIRST_COMPLETED)
            if first.done():
                await first
                return
            await hopeless
        except TimeoutError:
            waited = f"no picture came within {FIRST_PICTURE_TIMEOUT_S:g} s"
            raise StoryError(f"{waited}; {await self._feed(camera_id)}") from None
        finally:
            first.cancel()
            hopeless.cancel()
            await asyncio.gather(first, hopeless, return_exceptions=True)
        raise StoryError(f"no picture came; {await self._feed(camera_id)}")

    async def _until_hopeless(self, camera_id: str) -> None:
        """Return when only the camera's owner can help; each new difficulty is told as it comes."""
        told = None
        while True:
            feed = await self.people.read_feed(camera_id)
            if feed["phase"] == HOPELESS_PHASE:
                return
            if feed["phase"] == "retrying" and feed["reason"] != told:
                told = feed["reason"]
                self.say("camera", strong(str(told)), f": {feed['detail']} Trying again.")
            await asyncio.sleep(FEED_LOOK_S)

    async def _feed(self, camera_id: str) -> str:
        """How the camera fares, in the owner's words."""
        feed = await self.people.read_feed(camera_id)
        return f"the camera's feed is {feed['phase']} ({feed['reason']}). {feed['detail']}"

    async def _withdraw(self, watching: "_Watching", authorisation_id: str) -> None:
        called_s = time.perf_counter()
        called_us = time.time_ns() // 1_000
        answer, _ = await asyncio.gather(self.people.withdraw(authorisation_id), watching.until_ended())
        outcome = self.outcome
        self.stopped_at = answer["stopped_at"]
        stopped_s = watching.stopped_s
        if stopped_s is None:
            raise StoryError(f"the view ended without `stopped`: {watching.codes()}")
        outcome.withdrawal_to_notice_ms = _ms(stopped_s - called_s)
        after = [picture for picture in watching.pictures if picture.received_at_us > called_us]
        outcome.withdrawal_to_last_picture_ms = (
            round((after[-1].received_at_us - called_us) / 1_000, 1) if after else 0.0
        )
        outcome.pictures_after_withdrawal = watching.after_stop + watching.view.late_pictures
        outcome.pictures = len(watching.pictures)
        outcome.notices = watching.codes()
        last_ms = outcome.withdrawal_to_last_picture_ms
        last: tuple[Part, ...] = ("no picture came after the call",)
        if last_ms:
            after_notice = f", {outcome.pictures_after_withdrawal} after the notice"
            last = ("the last picture came after ", strong(f"{last_ms:.1f} ms"), after_notice)
        self.say(
            "owner",
            f"withdraws at {_of_day(answer['stopped_at'])}: the viewer is told after ",
            strong(f"{outcome.withdrawal_to_notice_ms:.1f} ms"),
            "; ",
            *last,
        )

    async def _match(self, watching: "_Watching", received: "_Developer") -> None:
        outcome = self.outcome

        def matched() -> int:
            return sum(
                any(matches(picture.sample, picture.sequence, event) for event in received.groups)
                for picture in watching.pictures
            )

        await received.until(lambda: matched() == len(watching.pictures), EVENTS_TIMEOUT_S)
        outcome.frame_events = len(received.events)
        outcome.digests_matched = matched()
        self.say(
            "developer",
            f"gets {outcome.frame_events} frame events and notices; ",
            strong(f"{outcome.digests_matched} of {outcome.pictures}"),
            " digests match",
        )
        if outcome.digests_matched != outcome.pictures:
            raise StoryError(f"{outcome.pictures - outcome.digests_matched} pictures are in no frame event")

    async def _try_again(self, operator: FeedgateClient, grant_id: str) -> None:
        try:
            await operator.take_ticket(grant_id)
        except RefusedError as refused:
            reasons = ", ".join(refused.problem.get("reasons", [refused.code]))
            self.say("operator", "tries again and is refused: ", strong(reasons))
            return
        raise StoryError("a ticket was given after the withdrawal")

    async def _read_ledger(self, camera_id: str, grant_id: str) -> None:
        def views(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                entry
                for entry in entries
                if entry["kind"] == "view" and entry["grant_id"] == grant_id and entry["ended_at"]
            ]

        entries = await eventually(
            lambda: self.people.read_ledger(camera_id),
            lambda entries: bool(views(entries)),
            LEDGER_TIMEOUT_S,
            "the view in the owner's ledger",
        )
        view = views(entries)[0]
        self.say(
            "owner",
            f"reads the ledger: {view['agency']}, {view['viewer']}, from {_of_day(view['at'])}, to "
            f"{view['purpose']} under {' and '.join(view['basis_codes'])}: ",
            strong(f"{view['pictures']} pictures"),
            f", last byte at {_of_day(view['dark_at'])}{_beside(view['dark_at'], self.stopped_at)}",
        )
        if view["pictures"] < self.outcome.pictures:
            raise StoryError(
                f"the ledger has {view['pictures']} pictures; the viewer has {self.outcome.pictures}"
            )


class _Watching:
    """A view and everything that came through it."""

    def __init__(self, view: View) -> None:
        self.items = aiter(view)
        self.pictures: list[Picture] = []
        self.notices: list[Notice] = []
        self.first_picture_s = 0.0
        self.stopped_s: float | None = None
        self.after_stop = 0
        self.view = view

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            try:
                self._take(await anext(self.items))
            except StopAsyncIteration:
                raise StoryError(f"the view ended early: {self.codes()}") from None

    async def until_ended(self) -> None:
        async for item in self.items:
            self._take(item)

    def codes(self) -> list[str]:
        return [notice.code for notice in self.notices]

    def _take(self, item: Picture | Notice) -> None:
        now_s = time.perf_counter()
        if isinstance(item, Notice):
            self.notices.append(item)
            if item.code == "stopped":
                self.stopped_s = now_s
            return
        if not self.pictures:
            self.first_picture_s = now_s
        self.pictures.append(item)
        self.after_stop += self.stopped_s is not None


class _Developer:
    """The agency's developer, who receives frame events beside the view."""

    def __init__(self, client: FeedgateClient) -> None:
        self.source = client.frame_events()
        self.events: list[FrameEvent] = []
        self.changed = asyncio.Event()

    @property
    def groups(self) -> list[FrameEvent]:
        return [event for event in self.events if event.HasField("group_of_pictures")]

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._receive())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until_listening(self) -> None:
        """Until the stream is open, so that nothing of the view is missed.

        Raises:
            StoryError: it was not opened.
        """
        connected = asyncio.create_task(self.source.connected.wait())
        try:
            await asyncio.wait(
                {connected, self.task}, timeout=STEP_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not connected.done():
                why = str(self.task.exception()) if self.task.done() else "no answer"
                raise StoryError(f"the developer's stream of frame events did not open: {why}")
        finally:
            connected.cancel()

    async def until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Until `done`, or the time is over; the caller looks what there is."""
        try:
            async with asyncio.timeout(timeout_s):
                while not done():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return

    async def _receive(self) -> None:
        async for event in self.source:
            self.events.append(event)
            self.changed.set()


async def eventually(
    ask: Callable[[], Any], enough: Callable[[Any], bool], timeout_s: float, what: str
) -> Any:
    """Ask until the answer is enough: services tell each other over the bus, in their own time.

    Raises:
        StoryError: it was not in time, or it was refused for good.
    """
    until_s = time.monotonic() + timeout_s
    while True:
        not_now = ""
        try:
            answer = await ask()
        except NotNowError as error:
            not_now = f"; {error}"
        else:
            if enough(answer):
                return answer
        if time.monotonic() > until_s:
            raise StoryError(f"waited {timeout_s:g} s for {what}{not_now}")
        await asyncio.sleep(0.05)


def _problem(answer: httpx.Response) -> str:
    """What a refusal says, without what was seen: that may be the camera's address."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.reason_phrase
    named = [*problem.get("reasons", []), *(error.get("path", "") for error in problem.get("errors", []))]
    said = str(problem.get("detail") or problem.get("title") or answer.reason_phrase)
    return f"{said} ({', '.join(named)})" if named else said


def _of_day(at: str) -> str:
    """The time of day in an RFC 3339 time, with milliseconds."""
    return datetime.fromisoformat(at).strftime("%H:%M:%S.%f")[:-3] + " UTC"


def _beside(last_byte_at: str, stopped_at: str) -> str:
    """Why the last byte may be older than the withdrawal."""
    if datetime.fromisoformat(last_byte_at) > datetime.fromisoformat(stopped_at):
        return ""
    return ", before the withdrawal: after it no picture left"


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1)


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
