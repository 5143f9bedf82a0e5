import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from feedgate_access_policy.app import PACKAGE, Assembled, assemble
from feedgate_access_policy.camera import Camera, Terms
from feedgate_access_policy.evidence import Evidence
from feedgate_access_policy.jurisdiction import Law, load_law
from feedgate_access_policy.pack import packaged_packs
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.question import AccessRequest, NamedBasis, Person, Question
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.tables import OUTBOX
from feedgate_access_policy.ticket import TicketKeys
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_contracts.decision.v1.decision_pb2 import DecisionMade
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS, to_datetime
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier, operator_pseudonym
from feedgate_kit.ids import new_id
from feedgate_kit.migration import migrate
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import CAMERA_STATE, DECISION_EVENTS

PSEUDONYM_KEY = "a pseudonym key for tests, long enough"
HOUR_US = 3_600 * MICROSECONDS

SURE = "The camera faces the door through which the persons sought left, and no other camera covers it."

EVIDENCE: Mapping[str, dict[str, Any]] = {
    "AR.25326.5-2-b": {
        "legal_provision": "Ley 25.326 art. 5.2.b and 11.3.a",
        "function_of_state": "Investigation of a robbery under order of the prosecutor on duty",
        "requesting_body": "Policía del Sur, comisaría 3",
        "purpose": "Find the two persons who left through the north door",
        "cesionario_id": "PS-CES-0042",
    },
    "AR.25326.23-2": {
        "mission_legal_basis": "Ley 13.482 art. 9",
        "strict_need": "The flight is under way and no public camera covers the passage",
        "file_id": "EXP-2027-000193",
        "reliability_grade": "B2",
    },
    "GB.UKGDPR.6-1-f": {
        "request_form_id": "DP7-2027-118",
        "necessity_statement": "The suspect entered the yard that only this camera covers",
        "case_ref": "CR/118/27",
        "owner_decision": "accepted by standing authorisation",
    },
    "GB.DPA.35-2-b": {
        "law_enforcement_purpose": "detection of crime",
        "law_citation": "DPA 2018 s.35(2)(b)",
        "necessity": "No less intrusive means shows the yard in time",
        "proportionality": "One camera, one hour, one operator",
        "data_subject_category": "suspect",
        "quality_statement": "Fact, seen by an officer",
    },
}
ORDER = {"ref": "OF-77/27", "issued_by": "Fiscalía 4", "issued_at": "2027-01-14T10:00:00Z"}


def bases_of(*codes: str) -> list[dict[str, Any]]:
    return [{"basis_code": code, "evidence": dict(EVIDENCE[code])} for code in codes]


def bases_at(jurisdiction: str) -> list[dict[str, Any]]:
    """What a request for a camera there must bring."""
    if jurisdiction == "GB":
        return bases_of("GB.UKGDPR.6-1-f", "GB.DPA.35-2-b")
    bases = bases_of("AR.25326.5-2-b", "AR.25326.23-2")
    if jurisdiction == "AR-B":
        bases[1]["evidence"]["prosecutor_order"] = dict(ORDER)
    return bases


@pytest.fixture(scope="session")
def law() -> Law:
    return load_law(packaged_packs())


NOW_US = SteppedClock().now_us()
OPERATOR = Person("op-1", "policia-sur", frozenset({"operator"}))
TERMS = Terms(
    authorisation_id="auth-1",
    agencies=frozenset({"policia-sur"}),
    purposes=frozenset({"investigate"}),
    renditions=frozenset({"original"}),
    schedule=None,
    opens_at_us=NOW_US - HOUR_US,
    expires_at_us=NOW_US + 1_000 * HOUR_US,
)
CAMERA = Camera(
    camera_id="camera-1",
    version=3,
    owner="owner-hash",
    sharing="on",
    removed=False,
    jurisdiction="AR",
    longitude=-58.3816,
    latitude=-34.6037,
    bearing_degrees=90,
    field_of_view_degrees=70,
    terms=(TERMS,),
)


def named_bases(bases: list[dict[str, Any]]) -> tuple[NamedBasis, ...]:
    return tuple(NamedBasis(each["basis_code"], each["evidence"]) for each in bases)


def request_of(**different: Any) -> AccessRequest:
    evidence: dict[str, Evidence] = {code: EVIDENCE[code] for code in ("AR.25326.5-2-b", "AR.25326.23-2")}
    request = AccessRequest(
        request_id="request-1",
        requester=OPERATOR,
        agency_jurisdiction="AR",
        purpose="investigate",
        bases=tuple(NamedBasis(code, fields) for code, fields in evidence.items()),
        from_us=NOW_US,
        until_us=NOW_US + 2 * HOUR_US,
        camera_count=1,
        longitude=-58.3816,
        latitude=-34.6037,
    )
    return replace(request, **different)


MakeQuestion = Callable[..., Question]


@pytest.fixture(scope="session")
def question() -> MakeQuestion:
    """A question whose answer is yes, but for what is given."""

    def make(
        *,
        camera: Any = CAMERA,
        terms: Any = TERMS,
        request: Mapping[str, Any] | None = None,
        **different: Any,
    ) -> Question:
        base = Question(
            action="request",
            person=OPERATOR,
            camera_id="camera-1",
            camera=camera,
            terms=terms,
            request=request_of(**(request or {})),
            grant=None,
            distance_m=100,
            cameras_fresh=True,
            now_us=NOW_US,
        )
        return replace(base, **different)

    return make


class FreshToken(httpx.Auth):
    """A new token for every request, so that a stepped clock never outlives one."""

    def __init__(
        self,
        issuer: LocalIssuer,
        subject: str,
        *roles: str,
        lifetime_s: int | None = None,
        acr: str | None = None,
    ) -> None:
        self.issuer, self.subject, self.roles = issuer, subject, roles
        self.lifetime_s, self.acr = lifetime_s, acr

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self.issuer.mint(self.subject, self.roles, lifetime_s=self.lifetime_s, acr=self.acr)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


def weekly(time_zone: str, *windows: tuple[int, int, int]) -> camera_pb2.WeeklySchedule:
    """Weekday (1 is Monday), first minute of the day, minute at which it ends."""
    return camera_pb2.WeeklySchedule(
        time_zone=time_zone,
        windows=[
            camera_pb2.WeeklyWindow(weekday=day, from_minute=first, until_minute=until)
            for day, first, until in windows
        ],
    )


def stamp(at_us: int) -> Timestamp:
    at = Timestamp()
    at.FromMicroseconds(at_us)
    return at


@dataclass
class Stand:
    """The service with its camera follower running; everything else is run by hand."""

    parts: Assembled
    database: Database
    bus: EmbeddedBus
    clock: SteppedClock
    issuers: Mapping[str, LocalIssuer]
    services: LocalIssuer
    ticket_key: Ed25519PrivateKey
    stack: AsyncExitStack
    versions: dict[str, int] = field(default_factory=dict)

    def text(self, **later: float) -> str:
        return (to_datetime(self.clock.now_us()) + timedelta(**later)).isoformat().replace("+00:00", "Z")

    def pseudonym(self, subject: str, agency: str = "policia-sur") -> str:
        return operator_pseudonym(PSEUDONYM_KEY.encode(), self.issuers[agency].issuer, subject)

    async def person(
        self,
        subject: str,
        *roles: str,
        agency: str = "policia-sur",
        lifetime_s: int | None = None,
        acr: str | None = None,
    ) -> httpx.AsyncClient:
        auth = FreshToken(self.issuers[agency], subject, *roles, lifetime_s=lifetime_s, acr=acr)
        return await self.client(auth)

    async def operator(self, subject: str = "olga") -> httpx.AsyncClient:
        return await self.person(subject, "operator")

    async def supervisor(self, subject: str = "sara") -> httpx.AsyncClient:
        return await self.person(subject, "supervisor")

    async def relay(self, *, internal: bool = True) -> httpx.AsyncClient:
        return await self.client(FreshToken(self.services, "relay", "relay"), internal=internal)

    async def client(self, auth: httpx.Auth | None, *, internal: bool = False) -> httpx.AsyncClient:
        service = self.parts.service
        app = service.internal if internal else service.public
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://access-policy",
            auth=auth,
        )
        return await self.stack.enter_async_context(client)

    # The registry's part: camera records and heartbeats on the bus.

    def camera(self, **different: Any) -> camera_pb2.CameraState:
        """A camera that shares with policia-sur in Argentina."""
        state = camera_pb2.CameraState(
            camera_id=new_id(),
            owner="owner-hash",
            sharing=camera_pb2.SHARING_ON,
            jurisdiction="AR",
            place=camera_pb2.Place(
                longitude=-58.38164, latitude=-34.60372, bearing_degrees=90, field_of_view_degrees=70
            ),
            terms=[self.terms()],
        )
        state.MergeFrom(camera_pb2.CameraState(**different))
        return state

    def terms(self, **different: Any) -> camera_pb2.Terms:
        defaults: dict[str, Any] = {
            "authorisation_id": new_id(),
            "agencies": ["policia-sur"],
            "purposes": ["investigate", "vital_interest"],
            "renditions": ["original"],
            "opens_at": stamp(self.clock.now_us()),
            "expires_at": stamp(self.clock.now_us() + 1_000 * HOUR_US),
        }
        return camera_pb2.Terms(**defaults | different)

    async def says(self, *cameras: camera_pb2.CameraState) -> None:
        """Registry publishes the next version of each, then a heartbeat; return once all is read."""
        for camera in cameras:
            version = self.versions.get(camera.camera_id, 0) + 1
            self.versions[camera.camera_id] = camera.version = version
            await self.put(camera.camera_id, camera.SerializeToString(), version)
        await self.beat()

    async def put(self, key: str, value: bytes, version: int) -> None:
        record = Record(key=key, value=value, headers={VERSION_HEADER: str(version)})
        await self.bus.state_log(CAMERA_STATE).append(record)

    async def beat(self) -> None:
        self.clock.advance(0.000_001)
        as_of_us = self.clock.now_us()
        heartbeat = Heartbeat(as_of=stamp(as_of_us))
        await self.bus.state_log(CAMERA_STATE).append(Record(HEARTBEAT_KEY, heartbeat.SerializeToString()))
        async with asyncio.timeout(10):
            while self.parts.cameras.as_of_us != as_of_us:  # noqa: ASYNC110 - lets the follower run
                await asyncio.sleep(0)

    async def later(self, seconds: float) -> None:
        """Time passes, and registry still beats."""
        self.clock.advance(seconds)
        await self.beat()

    async def review(self) -> None:
        await self.parts.reviews.review_all(self.parts.grant_desk)

    # What an operator sends.

    async def incident(self, person: httpx.AsyncClient, **different: Any) -> str:
        body = {
            "number": "INC-2027/0042",
            "place": {"type": "Point", "coordinates": [-58.382, -34.604]},
            "occurred_at": self.text(minutes=-5),
        }
        answer = await person.post("/access-policy/v1/incidents", json=body | different)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def asking(
        self, person: httpx.AsyncClient, *cameras: camera_pb2.CameraState, **different: Any
    ) -> dict[str, Any]:
        incident_id = different.get("incident_id") or await self.incident(person)
        return {
            "incident_id": incident_id,
            "purpose": "investigate",
            "case_number": "IPP-01-00-12345-26",
            "camera_ids": [camera.camera_id for camera in cameras],
            "window": {"not_before": self.text(), "not_after": self.text(hours=2)},
            "bases": bases_at(cameras[0].jurisdiction),
            "necessity": SURE,
        } | different

    async def requested(
        self, person: httpx.AsyncClient, *cameras: camera_pb2.CameraState, **different: Any
    ) -> dict[str, Any]:
        answer = await person.post(
            "/access-policy/v1/requests", json=await self.asking(person, *cameras, **different)
        )
        assert answer.status_code == 201, answer.text
        request: dict[str, Any] = answer.json()
        return request

    async def granted(self, *cameras: camera_pb2.CameraState, **different: Any) -> list[dict[str, Any]]:
        """Asked by olga, approved by sara."""
        request = await self.requested(await self.operator(), *cameras, **different)
        answer = await self.approve(request["id"])
        assert answer.status_code == 200, answer.text
        grants: list[dict[str, Any]] = answer.json()["grants"]
        return grants

    async def approve(self, request_id: str, person: httpx.AsyncClient | None = None) -> httpx.Response:
        person = person or await self.supervisor()
        return await person.post(
            f"/access-policy/v1/requests/{request_id}/approve", json={"reasons": "The need is shown."}
        )

    async def grant(self, grant_id: str) -> dict[str, Any]:
        answer = await (await self.operator()).get(f"/access-policy/v1/grants/{grant_id}")
        assert answer.status_code == 200, answer.text
        grant: dict[str, Any] = answer.json()
        return grant

    async def ticket(self, grant_id: str, person: httpx.AsyncClient | None = None) -> httpx.Response:
        person = person or await self.operator()
        return await person.post(f"/access-policy/v1/grants/{grant_id}/tickets")

    # What was staged for the bus; no publisher runs here.

    async def states(self, grant_id: str) -> list[GrantState]:
        table = OUTBOX.state
        async with self.database.read() as connection:
            query = select(table).where(table.c.record_key == grant_id).order_by(table.c.version)
            rows = (await connection.execute(query)).all()
        return [GrantState.FromString(bytes(row.value)) for row in rows]

    async def audit_records(self, event: str | None = None) -> list[AuditRecord]:
        records = [
            AuditRecord.FromString(each) for each in await self._events("access-policy.audit.events.v1")
        ]
        return [record for record in records if event in {None, record.event}]

    async def decisions(self, action: str | None = None) -> list[DecisionMade]:
        decisions = [DecisionMade.FromString(each) for each in await self._events(DECISION_EVENTS)]
        return [decision for decision in decisions if action in {None, decision.action}]

    async def _events(self, topic: str) -> list[bytes]:
        table = OUTBOX.event
        async with self.database.read() as connection:
            query = select(table).where(table.c.topic == topic).order_by(table.c.id)
            return [bytes(row.value) for row in (await connection.execute(query)).all()]


ON_SQLITE_ONLY = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tables of input that the database never sees."""


@pytest.fixture
def settings(tmp_path: Path) -> AccessPolicySettings:
    return AccessPolicySettings(
        operator_pseudonym_key=PSEUDONYM_KEY, ticket_key_file=tmp_path / "not-read", skew_s=0.0
    )


AGENCIES = {
    "policia-sur": Agency(
        id="policia-sur", name="Policía del Sur", jurisdiction="AR-B", issuer="https://sur.test"
    ),
    "policia-norte": Agency(
        id="policia-norte", name="Policía del Norte", jurisdiction="AR", issuer="https://norte.test"
    ),
    "met": Agency(id="met", name="Met", jurisdiction="GB", issuer="https://met.test"),
}


@pytest.fixture
async def stand(database_url: str, settings: AccessPolicySettings) -> AsyncIterator[Stand]:
    clock = SteppedClock()
    issuers = {
        agency.id: LocalIssuer.generate(
            agency.issuer, clock, realm="agency", agency=agency.id, lifetime_s=7_200
        )
        for agency in AGENCIES.values()
    }
    services = LocalIssuer.generate("https://services.test", clock)
    ticket_key = Ed25519PrivateKey.generate()
    async with AsyncExitStack() as stack:
        database = Database(database_url)
        stack.push_async_callback(database.close)
        await migrate(database, PACKAGE)
        bus = EmbeddedBus(None, clock)
        await bus.start()
        stack.push_async_callback(bus.close)
        verifier = await stack.enter_async_context(
            TokenVerifier([issuer.config() for issuer in [*issuers.values(), services]], clock)
        )
        ports = AccessPolicyPorts(
            bus=bus,
            database=database,
            verifier=verifier,
            agencies=AGENCIES,
            ticket_keys=TicketKeys([ticket_key]),
            clock=clock,
        )
        parts = assemble(settings, ports)
        follower = asyncio.create_task(parts.cameras.follow(parts.reviews.ask_for))
        try:
            yield Stand(parts, database, bus, clock, issuers, services, ticket_key, stack)
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
