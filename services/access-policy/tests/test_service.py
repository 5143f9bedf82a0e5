import asyncio
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import select

from feedgate_access_policy.app import Assembled, assemble
from feedgate_access_policy.bases_source import PACKS
from feedgate_access_policy.grant_desk import Reviewed
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.tables import PEOPLE
from feedgate_access_policy.ticket import TicketKeys
from feedgate_access_policy.upkeep import Reviews
from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.agencies import AgenciesError
from feedgate_kit.bus.record import HEARTBEAT_KEY
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier, operator_pseudonym
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.topics import GRANT_STATE, audit_events

from .conftest import AGENCIES, FreshToken, Stand

REQUESTS_URL = "/access-policy/v1/requests"


async def eventually(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - lets the others run; nothing here is timed
            await asyncio.sleep(0)


def again(stand: Stand, settings: AccessPolicySettings, database: Database | None = None) -> Assembled:
    """The service as it is after a restart."""
    ports = AccessPolicyPorts(
        bus=stand.bus,
        database=database or stand.database,
        verifier=TokenVerifier([issuer.config() for issuer in stand.issuers.values()], stand.clock),
        agencies=AGENCIES,
        ticket_keys=TicketKeys([stand.ticket_key]),
        clock=stand.clock,
    )
    return assemble(settings, ports)


async def test_an_agency_under_a_law_without_a_pack_is_refused_at_start(
    stand: Stand, settings: AccessPolicySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(AGENCIES, "met", AGENCIES["met"].model_copy(update={"jurisdiction": "XX"}))
    refusal = (
        r"^FEEDGATE_ACCESS_POLICY_AGENCIES_FILE: `met` acts under `XX`, which has no pack; allowed: AR, "
    )
    with pytest.raises(AgenciesError, match=refusal):
        again(stand, settings)


async def published(stand: Stand, phase: grant_pb2.GrantPhase) -> grant_pb2.GrantState:
    """The first record of the grant topic in this phase; older versions may never be sent."""
    reader = await stand.bus.state_log(GRANT_STATE).open_reader()
    try:
        async with asyncio.timeout(20):
            while True:
                for record in await reader.read():
                    if record.key == HEARTBEAT_KEY:
                        continue
                    state = grant_pb2.GrantState.FromString(record.value)
                    if state.phase == phase:
                        return state
    finally:
        await reader.close()


async def test_an_owners_withdrawal_reaches_the_relays_by_itself(
    stand: Stand, settings: AccessPolicySettings
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    parts = again(stand, settings)
    async with parts.service.lifespan():
        assert (await published(stand, grant_pb2.GRANT_PHASE_OPEN)).grant_id == grant["id"]
        camera.sharing = camera_pb2.SHARING_STOPPED
        del camera.terms[:]
        await stand.says(camera)
        closed = await published(stand, grant_pb2.GRANT_PHASE_CLOSED)
        assert (closed.version, closed.closed_reason) == (2, "authorisation_withdrawn")
        consumer = await stand.bus.event_log(audit_events("access-policy")).open_consumer("test")
        events: list[str] = []
        async with asyncio.timeout(20):
            while "grant.closed" not in events:
                events += [AuditRecord.FromString(each.record.value).event for each in await consumer.read()]
        await consumer.close()
        # Order holds per camera; the incident is about another key.
        of_camera = [event for event in events if event != "incident.recorded"]
        assert of_camera == ["request.submitted", "request.approved", "grant.closed"]


async def test_a_withdrawal_while_the_service_was_away_closes_its_grants_at_the_start(
    stand: Stand, settings: AccessPolicySettings
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]
    await stand.says(camera)
    parts = again(stand, settings)
    async with parts.service.lifespan():
        closed = await published(stand, grant_pb2.GRANT_PHASE_CLOSED)
    assert closed.closed_reason == "authorisation_withdrawn"
    assert (await stand.grant(grant["id"]))["phase"] == "closed"


async def test_a_tighter_pack_closes_grants_at_the_start(
    stand: Stand, settings: AccessPolicySettings, tmp_path: Path
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    packs = tmp_path / "packs"
    shutil.copytree(PACKS, packs)
    (packs / "AR" / "new.cedar").write_text(
        '@id("AR.no_investigation") @reason("law_changed")\n'
        'forbid (principal, action, resource) when { context.purpose == "investigate" };\n'
    )
    parts = again(stand, settings.model_copy(update={"packs_folder": packs}))
    async with parts.service.lifespan():
        await published(stand, grant_pb2.GRANT_PHASE_CLOSED)
    assert (await stand.grant(grant["id"]))["closed_reason"] == "law_changed"


async def test_it_is_ready_once_it_knows_and_is_heard(stand: Stand, settings: AccessPolicySettings) -> None:
    parts = again(stand, settings)
    assert parts.service.readiness.waiting_for() == [
        "database",
        "the database at this version's revision",
        "a fresh copy of the cameras",
    ]
    async with parts.service.lifespan():
        await eventually(lambda: parts.service.readiness.waiting_for() == ["a fresh copy of the cameras"])
        await stand.beat()
        await eventually(lambda: parts.service.readiness.waiting_for() == [])
        stand.clock.advance(4)
        assert parts.service.readiness.waiting_for() == ["a fresh copy of the cameras"]


async def metrics(stand: Stand) -> str:
    return (await (await stand.client(None, internal=True)).get("/metrics")).text


async def test_metrics_count_decisions_and_name_nobody(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    await stand.ticket(grant["id"])
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]
    await stand.says(camera)
    await stand.ticket(grant["id"])
    await stand.parts.upkeep.turn()
    page = await metrics(stand)
    for line in (
        'access_policy_decisions_total{action="request",reason="",result="permit"} 1.0',
        'access_policy_decisions_total{action="ticket",reason="authorisation_withdrawn",result="deny"} 1.0',
        'access_policy_requests_total{state="approved"} 1.0',
        "access_policy_tickets_total{} 1.0",
        "access_policy_grants_open{} 1.0",
        "access_policy_requests_pending{} 0.0",
    ):
        assert _sorted(line) in {_sorted(each) for each in page.splitlines()}, line
    await stand.review()
    await stand.parts.upkeep.turn()
    page = await metrics(stand)
    assert 'reason="authorisation_withdrawn"' in page
    for name in (camera.camera_id, grant["id"], "policia-sur", "olga", stand.pseudonym("olga"), "IPP-01"):
        assert name not in page


def _sorted(line: str) -> tuple[str, frozenset[str], str]:
    name, _, rest = line.partition("{")
    labels, _, value = rest.partition("}")
    return name, frozenset(labels.split(",")) - {"", 'service="access-policy"'}, value


async def test_only_an_agencys_people_are_let_in(stand: Stand) -> None:
    await stand.beat()
    sur = stand.issuers["policia-sur"]
    foreign = LocalIssuer.generate(
        "https://elsewhere.test", stand.clock, realm="agency", agency="policia-sur"
    )
    impostor = LocalIssuer.generate(sur.issuer, stand.clock, realm="agency", agency="policia-sur")

    async def status(auth: httpx.Auth | None) -> tuple[int, str]:
        answer = await (await stand.client(auth)).get(REQUESTS_URL)
        return answer.status_code, answer.json().get("type", "")

    assert (await status(FreshToken(sur, "olga", "operator")))[0] == 200
    assert (await status(None))[0] == 401
    assert (await status(FreshToken(foreign, "olga", "operator")))[0] == 401
    assert (await status(FreshToken(impostor, "olga", "operator")))[0] == 401
    assert (await status(FreshToken(sur, "olga", "operator", lifetime_s=-600)))[0] == 401
    for role in ("owner", "auditor", "ingest", "system", "administrator"):
        assert await status(FreshToken(sur, "olga", role)) == (403, "urn:feedgate:problem:role-missing")


async def test_every_public_route_needs_a_token(stand: Stand) -> None:
    nobody = await stand.client(None)
    description = (await nobody.get("/access-policy/v1/openapi.json")).json()
    assert description["paths"]
    for path, methods in description["paths"].items():
        assert path.startswith("/access-policy/v1/")
        for method in methods:
            answer = await nobody.request(method, path.replace("{", "").replace("}", ""), json={})
            assert answer.status_code == 401, (method, path)


async def test_a_pseudonym_that_means_two_people_lets_neither_act_as_the_other(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.incident(await stand.operator("olga"))
    olga = stand.pseudonym("olga")
    monkeypatch.setattr("feedgate_access_policy.persons.operator_pseudonym", lambda *_: olga)
    body = {
        "number": "INC-1",
        "place": {"type": "Point", "coordinates": [0, 0]},
        "occurred_at": stand.text(),
    }
    answer = await (await stand.operator("otto")).post("/access-policy/v1/incidents", json=body)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:feedgate:problem:pseudonym-taken"


async def test_under_another_pseudonym_key_nobody_becomes_a_second_person(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.incident(await stand.operator("olga"))
    monkeypatch.setattr(
        "feedgate_access_policy.persons.operator_pseudonym",
        lambda _, issuer, subject: operator_pseudonym(b"another key than the one before", issuer, subject),
    )
    body = {
        "number": "INC-1",
        "place": {"type": "Point", "coordinates": [0, 0]},
        "occurred_at": stand.text(),
    }
    with structlog.testing.capture_logs() as logged:
        answer = await (await stand.operator("olga")).post("/access-policy/v1/incidents", json=body)
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:feedgate:problem:pseudonym-changed"
    [line] = [line for line in logged if line["log_level"] == "error"]
    assert "operator_pseudonym_key" in line["cause"]
    async with stand.database.read() as connection:
        assert len((await connection.execute(select(PEOPLE))).all()) == 1, (
            "nothing was kept of the second one"
        )
    # Whoever is new to this database is nobody's second person.
    await stand.incident(await stand.operator("otto"))


async def test_a_review_that_failed_is_made_up_for_at_the_next_start() -> None:
    class Desk:
        def __init__(self) -> None:
            self.reviewed: list[str] = []
            self.failures = 1

        async def cameras_to_review(self, among: Collection[str] | None = None) -> Collection[str]:
            return {"camera-1"} if among is None else among

        async def review(self, camera_id: str) -> Reviewed:
            if self.failures:
                self.failures -= 1
                raise ConnectionRefusedError
            self.reviewed.append(camera_id)
            return Reviewed()

    cameras, desk, reviews = SimpleNamespace(caught_up=asyncio.Event()), Desk(), Reviews()
    cameras.caught_up.set()
    with pytest.raises(ConnectionRefusedError):
        await reviews.run(cameras, desk)  # type: ignore[arg-type]  # what it uses of a desk
    second = asyncio.create_task(reviews.run(cameras, desk))  # type: ignore[arg-type]  # as above
    await eventually(lambda: desk.reviewed == ["camera-1"])
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
