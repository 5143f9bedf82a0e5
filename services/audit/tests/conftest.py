from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from feedgate_audit.app import PACKAGE, create_app
from feedgate_audit.ports import AuditPorts
from feedgate_audit.settings import AuditSettings
from feedgate_contracts.audit.v1.audit_pb2 import Actor, AuditRecord, Justification, Usage
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import Record
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier, owner_key
from feedgate_kit.ids import new_id
from feedgate_kit.migration import migrate
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import audit_events

HASH_KEY = "an owner hash key for tests, long enough"
ISSUER = "https://owners.example"


@dataclass
class Records:
    """Makes audit records of one owner's camera."""

    clock: SteppedClock
    owner: str = field(default_factory=lambda: owner_key(HASH_KEY.encode(), ISSUER, "ana"))
    camera_id: str = field(default_factory=new_id)

    def make(self, event: str, **fields: object) -> AuditRecord:
        self.clock.advance(1)
        record = AuditRecord(
            record_id=new_id(),
            event=event,
            service="relay",
            owner=self.owner,
            camera_id=self.camera_id,
            **fields,  # type: ignore[arg-type]
        )
        record.occurred_at.FromMicroseconds(self.clock.now_us())
        return record

    def view_started(self, view_id: str) -> AuditRecord:
        return self.make(
            "view.started",
            view_id=view_id,
            grant_id=new_id(),
            actor=Actor(pseudonym="op-0123456789abcdef", agency="policia-norte", role="operator"),
            justification=Justification(
                purpose="investigate",
                case_number="IPP-01-00-12345-26",
                basis_codes=["AR.25326.5-2-b", "AR.25326.23-2"],
            ),
        )

    def view_usage(self, view_id: str, pictures: int) -> AuditRecord:
        return self.make("view.usage", view_id=view_id, usage=self.usage(pictures))

    def view_ended(self, view_id: str, pictures: int, reason: str) -> AuditRecord:
        record = self.make("view.ended", view_id=view_id, usage=self.usage(pictures), reason=reason)
        record.dark_at.FromMicroseconds(self.clock.now_us() - 1_000)
        return record

    def usage(self, pictures: int) -> Usage:
        usage = Usage(pictures=pictures, bytes=pictures * 12_500)
        usage.last_picture_at.FromMicroseconds(self.clock.now_us())
        return usage


def record_of(message: AuditRecord, clock: SteppedClock) -> Record:
    headers = headers_for(
        type=message.DESCRIPTOR.full_name, source="relay", subject=message.camera_id, clock=clock
    )
    return Record(key=message.camera_id, value=message.SerializeToString(), headers=headers)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def records(clock: SteppedClock) -> Records:
    return Records(clock)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'audit.sqlite'}")
    await migrate(database, PACKAGE)
    yield database
    await database.close()


@pytest.fixture
async def bus(clock: SteppedClock) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(None, clock)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
def issuer(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate(ISSUER, clock, realm="owners")


@pytest.fixture
def http_of(
    bus: EmbeddedBus, database: Database, clock: SteppedClock, issuer: LocalIssuer
) -> Callable[[str], httpx.AsyncClient]:
    """A client whose caller is the named owner; the service's lifespan is not entered."""
    service = create_app(
        AuditSettings(owner_hash_key=HASH_KEY),
        AuditPorts(bus=bus, database=database, verifier=TokenVerifier([issuer.config()], clock), clock=clock),
    )

    def client(subject: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(service.public),
            base_url="http://audit",
            headers={"Authorization": f"Bearer {issuer.mint(subject, [])}"},
        )

    return client


AUDIT_TOPIC = audit_events("relay")
