import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr
from sqlalchemy import select

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.addresses import Address, parse_networks
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_kit.clock import to_datetime
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier, owner_key
from feedgate_kit.migration import migrate
from feedgate_kit.service import Service
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import CAMERA_STATE, audit_events
from feedgate_registry.app import PACKAGE, create_app
from feedgate_registry.jurisdictions import Jurisdictions, load_jurisdictions
from feedgate_registry.pools import Pool
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.settings import RegistrySettings
from feedgate_registry.tables import OUTBOX

WAIT_S = 10.0
HASH_KEY = "an owner hash key for tests, long enough"
OWNERS_ISSUER = "https://owners.example"
PASSWORD = "Xk7-pa55w0rd-Qz9"
USERNAME = "cam-user-Jd4"
HOST = "front-door.example"
SOURCE = f"rtsp://{USERNAME}:{PASSWORD}@{HOST}:8554/secret-path-Vb2"
SITE_KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
DEPOT_KEY = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


class WrittenClock(SteppedClock):
    """A stepped clock that writes times as answers do."""

    def text(self, **later: float) -> str:
        return (to_datetime(self.now_us()) + timedelta(**later)).isoformat().replace("+00:00", "Z")


@dataclass
class NamesInATable:
    """A resolver that knows what it was told."""

    names: dict[str, list[str]] = field(default_factory=lambda: {HOST: ["8.8.8.8", "2606:4700::1111"]})
    asked: list[str] = field(default_factory=list)

    async def addresses(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        return [ip_address(text) for text in self.names.get(host, ())]


class FreshToken(httpx.Auth):
    """A new token for every request, so that a stepped clock never outlives one."""

    def __init__(self, issuer: LocalIssuer, subject: str, *roles: str) -> None:
        self.issuer, self.subject, self.roles = issuer, subject, roles

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.issuer.mint(self.subject, self.roles)}"
        yield request


@dataclass
class Stand:
    """A registry whose handlers can be called; its background tasks run only in its lifespan."""

    service: Service
    database: Database
    bus: EmbeddedBus
    clock: WrittenClock
    resolver: NamesInATable
    owners: LocalIssuer
    services: LocalIssuer
    stack: AsyncExitStack

    def key_of(self, subject: str) -> str:
        return owner_key(HASH_KEY.encode(), OWNERS_ISSUER, subject)

    async def owner(self, subject: str) -> httpx.AsyncClient:
        return await self._client(self.service.public, FreshToken(self.owners, subject))

    async def worker(self, role: str = "ingest") -> httpx.AsyncClient:
        return await self._client(self.service.internal, FreshToken(self.services, f"{role}-1", role))

    async def bearer(self, issuer: LocalIssuer, subject: str, *roles: str) -> httpx.AsyncClient:
        return await self._client(self.service.public, FreshToken(issuer, subject, *roles))

    async def nobody(self, *, internal: bool = False) -> httpx.AsyncClient:
        return await self._client(self.service.internal if internal else self.service.public, None)

    async def _client(self, app: Any, auth: httpx.Auth | None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://registry", auth=auth)
        return await self.stack.enter_async_context(client)

    async def states(self, camera_id: str) -> list[CameraState]:
        """What was staged for the state topic, in order of version."""
        table = OUTBOX.state
        async with self.database.read() as connection:
            query = select(table).where(table.c.record_key == camera_id).order_by(table.c.version)
            rows = (await connection.execute(query)).all()
        states = [CameraState.FromString(bytes(row.value)) for row in rows]
        assert [state.version for state in states] == [row.version for row in rows]
        return states

    async def state(self, camera_id: str) -> CameraState:
        return (await self.states(camera_id))[-1]

    async def published(self) -> None:
        """Everything committed so far lies in the topics: a heartbeat of a later clock vouches for it."""
        self.clock.advance(0.001)
        committed_us = self.clock.now_us()

        def vouches(record: Record) -> bool:
            if record.key != HEARTBEAT_KEY:
                return False
            return Heartbeat.FromString(record.value).as_of.ToMicroseconds() >= committed_us

        await self.until_in_topic(vouches)
        async with asyncio.timeout(WAIT_S):
            while await self.audit_records():  # an event leaves the outbox once it is acknowledged
                pass

    async def until_in_topic(self, is_wanted: Callable[[Record], bool]) -> None:
        """Read the state topic from its first record to the first one wanted."""
        reader = await self.bus.state_log(CAMERA_STATE).open_reader()
        try:
            async with asyncio.timeout(WAIT_S):
                while not any(is_wanted(record) for record in await reader.read()):
                    pass
        finally:
            await reader.close()

    async def until_answered(
        self, http: httpx.AsyncClient, url: str, holds: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """The first answer for which `holds` is true."""
        async with asyncio.timeout(WAIT_S):
            while True:
                answer: dict[str, Any] = (await http.get(url)).json()
                if holds(answer):
                    return answer

    async def state_topic(self) -> Sequence[Record]:
        """What lies in the state topic."""
        reader = await self.bus.state_log(CAMERA_STATE).open_reader()
        try:
            return await reader.read_to_end()
        finally:
            await reader.close()

    async def audit_topic(self) -> Sequence[Record]:
        """What lies in the audit topic; at least one record must."""
        consumer = await self.bus.event_log(audit_events("registry")).open_consumer("tests")
        try:
            return [stored.record for stored in await consumer.read()]
        finally:
            await consumer.close()

    async def audit_messages(self) -> list[AuditRecord]:
        """What the audit service will read."""
        return [AuditRecord.FromString(record.value) for record in await self.audit_topic()]

    async def audit_records(self) -> list[AuditRecord]:
        async with self.database.read() as connection:
            rows = (await connection.execute(select(OUTBOX.event).order_by(OUTBOX.event.c.id))).all()
        assert {row.topic for row in rows} <= {"registry.audit.events.v1"}
        return [AuditRecord.FromString(bytes(row.value)) for row in rows]


CAMERA: dict[str, Any] = {
    "name": "Front door",
    "place": {"type": "Point", "coordinates": [-58.3816, -34.6037]},
    "bearing_degrees": 90.0,
    "field_of_view_degrees": 75.5,
    "jurisdiction": "AR-B",
    "source": {"url": SOURCE},
    "ingest_pool": "site",
}
AUTHORISATION: dict[str, Any] = {
    "agencies": ["policia-sur", "policia-norte"],
    "purposes": ["investigate", "vital_interest"],
}


async def registered(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/registry/v1/cameras", json=CAMERA | fields)
    assert answer.status_code == 201, answer.text
    camera: dict[str, Any] = answer.json()
    return camera


async def authorised(http: httpx.AsyncClient, camera_id: str, **fields: Any) -> dict[str, Any]:
    answer = await http.post(f"/registry/v1/cameras/{camera_id}/authorisations", json=AUTHORISATION | fields)
    assert answer.status_code == 201, answer.text
    authorisation: dict[str, Any] = answer.json()
    return authorisation


def code_of(answer: httpx.Response) -> str:
    """The stable code of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:feedgate:problem:")


ON_SQLITE_ONLY = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For long tables of refusals that no database ever sees."""


@pytest.fixture
def clock() -> WrittenClock:
    return WrittenClock()


@pytest.fixture
def resolver() -> NamesInATable:
    return NamesInATable()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await migrate(database, PACKAGE)
    yield database
    await database.close()


@pytest.fixture
async def bus(clock: WrittenClock) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(None, clock)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    return RegistrySettings(
        owner_hash_key=SecretStr(HASH_KEY),
        pools_file=tmp_path / "pools.yaml",
        own_networks=("10.20.0.0/16",),
        most_authorisations=5,
    )


@pytest.fixture
async def make_stand(
    settings: RegistrySettings,
    database: Database,
    bus: EmbeddedBus,
    clock: WrittenClock,
    resolver: NamesInATable,
) -> AsyncIterator[Callable[..., Stand]]:
    """Makes registries over one database and one bus, as one after a restart is."""
    owners = LocalIssuer.generate(OWNERS_ISSUER, clock, realm="owners")
    services = LocalIssuer.generate("https://services.example", clock)
    agencies = [
        Agency(id=name, name=name.title(), jurisdiction="AR-B", issuer=f"https://{name}.example")
        for name in ("policia-norte", "policia-sur")
    ]
    pools = [
        Pool("site", "site-key-1", SITE_KEY.public_key(), ()),
        Pool("depot", "depot-key-1", DEPOT_KEY.public_key(), parse_networks(["192.168.7.0/24"])),
    ]
    async with AsyncExitStack() as stack:

        def make(jurisdictions: Jurisdictions | None = None) -> Stand:
            ports = RegistryPorts(
                database=database,
                bus=bus,
                clock=clock,
                resolver=resolver,
                verifier=TokenVerifier([owners.config(), services.config()], clock),
                agencies={agency.id: agency for agency in agencies},
                pools={pool.name: pool for pool in pools},
                jurisdictions=jurisdictions or load_jurisdictions(None),
            )
            service = create_app(settings, ports)
            return Stand(service, database, bus, clock, resolver, owners, services, stack)

        yield make


@pytest.fixture
def stand(make_stand: Callable[..., Stand]) -> Stand:
    return make_stand()
