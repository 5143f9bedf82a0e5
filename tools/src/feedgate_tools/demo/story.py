"""The story the demo plays: four people and one developer, over the real HTTP and WebSocket APIs."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from feedgate_client import FeedgateClient, Notice, Picture, RefusedError, View
from feedgate_client.pictures import matches
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.tokens import TokenSource
from feedgate_tools.demo.page_routes import StoryError

PICTURES_WATCHED = 100
"""Enough for four seconds at 25 pictures a second."""

STEP_TIMEOUT_S = 30.0
EVENTS_TIMEOUT_S = 5.0
LEDGER_TIMEOUT_S = 10.0

PLACE = {"type": "Point", "coordinates": [-59.13316, -37.32167]}
NECESSITY = (
    "A person was hurt in front of the shop minutes ago and the person who did it is still in the "
    "street; no patrol can see the corner before it arrives."
)

Say = Callable[[str], None]


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
    """What was measured; milliseconds by the clock of the people's own process."""

    first_picture_ms: float = 0.0
    """From the operator's asking for a ticket to the first picture."""
    withdrawal_to_notice_ms: float = 0.0
    """From the owner's call to the viewer's notice."""
    withdrawal_to_last_picture_ms: float = 0.0
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
        found = answer["items"] if isinstance(answer, dict) else answer
        return [str(camera["camera_id"]) for camera in found]

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
            StoryError: it was refused; says the problem.
        """
        headers = {"Authorization": f"Bearer {await token()}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        if answer.is_error:
            raise StoryError(f"{method} {path.split('?', maxsplit=1)[0]}: {answer.status_code} {answer.text}")
        return answer.json()


class Story:
    """From the registration to the owner's ledger."""

    def __init__(self, people: People, origin: str, say: Say) -> None:
        """Tell each step through `say`."""
        self.people = people
        self.origin = origin
        self.say = say
        self.outcome = Outcome()

    async def play(self, source_url: str) -> str:
        """Play it to its end; the camera's id.

        Raises:
            StoryError: a step did not happen.
        """
        people, say = self.people, self.say
        camera_id = await people.register_camera(source_url)
        say("owner       registers the camera; its address and password are sealed")
        authorisation_id = await people.authorise(camera_id)
        say(f"owner       authorises `{people.agency}` to look, to investigate, for 30 days")
        incident_id = await people.report_incident()
        found = await people.until_found(incident_id, camera_id)
        say(f"operator    reports an incident; {len(found)} camera near it shares with the agency")
        request_id = await people.ask(incident_id, camera_id)
        say("operator    asks: purpose, case, both legal bases and their evidence")
        grant_id = await people.approve(request_id)
        say("supervisor  approves, a second person: one grant for one camera")
        async with (
            FeedgateClient(self.origin, people.cast.developer) as developer,
            FeedgateClient(self.origin, people.cast.operator) as operator,
        ):
            with _Developer(developer) as received:
                await self._watch(operator, grant_id, authorisation_id, received)
            await self._try_again(operator, grant_id)
        await self._read_ledger(camera_id, grant_id)
        return camera_id

    async def _watch(
        self, operator: FeedgateClient, grant_id: str, authorisation_id: str, received: "_Developer"
    ) -> None:
        await received.until_listening()
        asked_s = time.perf_counter()
        async with operator.open_view(grant_id) as view:
            watching = _Watching(view)
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await watching.until(lambda: len(watching.pictures) >= 1)
                self.outcome.first_picture_ms = _ms(watching.first_picture_s - asked_s)
                self.say(
                    f"operator    sees the first picture {self.outcome.first_picture_ms:.0f} ms after asking"
                )
                await watching.until(lambda: len(watching.pictures) >= PICTURES_WATCHED)
                await self._withdraw(watching, authorisation_id)
        await self._match(watching, received)

    async def _withdraw(self, watching: "_Watching", authorisation_id: str) -> None:
        called_s = time.perf_counter()
        called_us = time.time_ns() // 1_000
        withdrawal = asyncio.create_task(self.people.withdraw(authorisation_id))
        await watching.until_ended()
        answer = await withdrawal
        outcome = self.outcome
        stopped_s = watching.stopped_s
        if stopped_s is None:
            raise StoryError(f"the view ended without `stopped`: {watching.codes()}")
        outcome.withdrawal_to_notice_ms = _ms(stopped_s - called_s)
        after = [picture for picture in watching.pictures if picture.received_at_us > called_us]
        outcome.withdrawal_to_last_picture_ms = (
            round((after[-1].received_at_us - called_us) / 1_000, 1) if after else 0.0
        )
        outcome.pictures_after_withdrawal = watching.after_stop
        outcome.pictures = len(watching.pictures)
        outcome.notices = watching.codes()
        self.say(
            f"owner       withdraws at {answer['stopped_at']}: the viewer is told after "
            f"{outcome.withdrawal_to_notice_ms:.1f} ms, the last picture came after "
            f"{outcome.withdrawal_to_last_picture_ms:.1f} ms, "
            f"{outcome.pictures_after_withdrawal} after the notice"
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
            f"developer   got {outcome.frame_events} frame events and notices; "
            f"{outcome.digests_matched} of {outcome.pictures} pictures match their digests"
        )
        if outcome.digests_matched != outcome.pictures:
            raise StoryError(f"{outcome.pictures - outcome.digests_matched} pictures are in no frame event")

    async def _try_again(self, operator: FeedgateClient, grant_id: str) -> None:
        try:
            await operator.take_ticket(grant_id)
        except RefusedError as refused:
            reasons = ", ".join(refused.problem.get("reasons", [refused.code]))
            self.say(f"operator    tries again and is refused: {reasons}")
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
            f"owner       reads the ledger: {view['agency']}, {view['viewer']}, {view['at']}, to "
            f"{view['purpose']} under {' and '.join(view['basis_codes'])}: {view['pictures']} pictures, "
            f"dark at {view['dark_at']}"
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

    def __enter__(self) -> Self:
        self.task = asyncio.create_task(self._receive())
        return self

    def __exit__(self, *_: object) -> None:
        self.task.cancel()

    async def until_listening(self) -> None:
        """Until the stream is open, so that nothing of the view is missed."""
        await self.source.connected.wait()

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
        StoryError: it was not in time.
    """
    until_s = time.monotonic() + timeout_s
    while True:
        answer = await ask()
        if enough(answer):
            return answer
        if time.monotonic() > until_s:
            raise StoryError(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(0.05)


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1)


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
