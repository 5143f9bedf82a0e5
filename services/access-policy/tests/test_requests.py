from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from feedgate_access_policy.tables import DECISIONS, OUTBOX, REQUESTS
from feedgate_contracts.audit.v1 import audit_pb2
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit.errors import BusError
from feedgate_kit.ids import new_id
from feedgate_kit.outbox import Outbox

from .conftest import ON_SQLITE_ONLY, ORDER, SURE, Stand, bases_at, bases_of

REQUESTS_URL = "/access-policy/v1/requests"


async def ask(stand: Stand, *cameras: camera_pb2.CameraState, **different: Any) -> httpx.Response:
    olga = await stand.operator()
    return await olga.post(REQUESTS_URL, json=await stand.asking(olga, *cameras, **different))


async def test_a_request_that_owner_and_law_allow_waits_for_a_second_person(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    answer = await ask(stand, camera)
    assert answer.status_code == 201
    request = answer.json()
    assert request["state"] == "pending_approval"
    assert request["requester"] == stand.pseudonym("olga")
    assert request["requested_by_you"] is True
    assert request["grants"] == []
    decision = request["decision"]
    assert (decision["permitted"], decision["reasons"], decision["errors"]) == (True, [], [])
    assert decision["policy_version"].startswith("root@2/AR@1+")
    [about] = decision["cameras"]
    assert about["camera_id"] == camera.camera_id
    [made] = await stand.decisions()
    assert made.decision_id == about["decision_id"]
    assert (made.request_id, made.camera_id, made.action) == (request["id"], camera.camera_id, "request")
    assert (made.agency, made.requester) == ("policia-sur", stand.pseudonym("olga"))
    assert (made.permitted, list(made.reasons), made.policy_version) == (True, [], decision["policy_version"])


async def test_it_is_audited_for_the_owner_in_the_same_transaction(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    request = (await ask(stand, camera)).json()
    [record] = await stand.audit_records("request.submitted")
    assert (record.owner, record.camera_id) == ("owner-hash", camera.camera_id)
    assert record.operation == audit_pb2.OPERATION_DECISION
    assert record.request_id == request["id"]
    assert record.authorisation_id == camera.terms[0].authorisation_id
    assert record.justification == audit_pb2.Justification(
        purpose="investigate",
        case_number="IPP-01-00-12345-26",
        basis_codes=["AR.25326.5-2-b", "AR.25326.23-2"],
    )
    assert record.outcome.permitted


async def rows(stand: Stand) -> tuple[int, int, int]:
    async with stand.database.read() as connection:
        counts = [
            (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (REQUESTS, DECISIONS, OUTBOX.event)
        ]
    return counts[0], counts[1], counts[2]


async def test_without_its_audit_record_there_is_no_decision(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.operator()
    body = await stand.asking(olga, camera)
    before = await rows(stand)
    stage_event = Outbox.stage_event

    async def fail_on_audit(self: Outbox, connection: Any, *, topic: str, **rest: Any) -> None:
        if "audit" in topic:
            raise BusError("no room")
        await stage_event(self, connection, topic=topic, **rest)

    monkeypatch.setattr(Outbox, "stage_event", fail_on_audit)
    answer = await olga.post(REQUESTS_URL, json=body)
    assert answer.status_code == 503
    assert await rows(stand) == before


@ON_SQLITE_ONLY
@pytest.mark.parametrize(
    "field",
    ["legal_provision", "function_of_state", "requesting_body", "purpose", "cesionario_id"],
)
@pytest.mark.parametrize("value", [None, "", "   ", "--"], ids=["absent", "empty", "blank", "dashes"])
async def test_a_missing_evidence_field_denies_and_is_named(
    stand: Stand, field: str, value: str | None
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    bases = bases_at("AR")
    del bases[0]["evidence"][field]
    if value is not None:
        bases[0]["evidence"][field] = value
    answer = await ask(stand, camera, bases=bases)
    assert answer.status_code == 403
    problem = answer.json()
    assert problem["type"] == "urn:feedgate:problem:access-denied"
    assert problem["reasons"] == ["missing_evidence"]
    assert problem["missing_evidence"] == [{"basis_code": "AR.25326.5-2-b", "field": field}]


@pytest.mark.parametrize(("place", "agency"), [("AR-B", "policia-sur"), ("GB", "met")])
async def test_each_place_demands_its_own_evidence(stand: Stand, place: str, agency: str) -> None:
    camera = stand.camera()
    camera.jurisdiction = place
    camera.terms[0].agencies[:] = [agency]
    await stand.says(camera)
    person = await stand.person("pat", "operator", agency=agency)
    whole = await person.post(REQUESTS_URL, json=await stand.asking(person, camera))
    assert whole.status_code == 201, whole.text
    for number, basis in enumerate(bases_at(place)):
        for field in basis["evidence"]:
            bases = bases_at(place)
            del bases[number]["evidence"][field]
            answer = await person.post(REQUESTS_URL, json=await stand.asking(person, camera, bases=bases))
            assert answer.status_code == 403
            if field == "prosecutor_order":
                assert answer.json()["reasons"] == ["live_order_missing"]
            else:
                assert answer.json()["reasons"] == ["missing_evidence"]
                named = {"basis_code": basis["basis_code"], "field": field}
                assert answer.json()["missing_evidence"] == [named]


async def test_a_denied_request_is_on_file_with_its_decision(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    problem = (await ask(stand, camera, bases=bases_of("AR.25326.5-2-b"))).json()
    assert problem["reasons"] == ["no_acquire_basis"]
    olga = await stand.operator()
    request = (await olga.get(f"{REQUESTS_URL}/{problem['request_id']}")).json()
    assert (request["state"], request["necessity"]) == ("denied", SURE)
    listed = (await olga.get(f"{REQUESTS_URL}/{problem['request_id']}/decisions")).json()["items"]
    assert [each["id"] for each in listed] == [problem["decision_id"]]
    decision = (await olga.get(f"/access-policy/v1/decisions/{problem['decision_id']}")).json()
    assert decision == listed[0]
    assert (decision["permitted"], decision["reasons"]) == (False, ["no_acquire_basis"])
    assert decision["action"] == "request"
    [record] = await stand.audit_records("request.denied")
    assert (record.owner, record.outcome.permitted) == ("owner-hash", False)
    assert list(record.outcome.reasons) == ["no_acquire_basis"]
    assert (await stand.approve(problem["request_id"])).status_code == 409


async def test_one_camera_that_is_denied_denies_the_request_and_each_is_answered(stand: Stand) -> None:
    mine, theirs = stand.camera(), stand.camera()
    theirs.terms[0].agencies[:] = ["policia-norte"]
    await stand.says(mine, theirs)
    problem = (await ask(stand, mine, theirs)).json()
    assert problem["reasons"] == ["camera_unknown", "authorisation_inactive", "live_order_missing"]
    assert {each["camera_id"]: each["permitted"] for each in problem["cameras"]} == {
        mine.camera_id: True,
        theirs.camera_id: False,
    }


@pytest.mark.parametrize("count", [6, 30])
async def test_more_than_five_cameras_are_a_bulk_request(stand: Stand, count: int) -> None:
    cameras = [stand.camera() for _ in range(count)]
    await stand.says(*cameras)
    answer = await ask(stand, *cameras)
    assert answer.status_code == 403
    assert answer.json()["reasons"] == ["bulk_limit"]
    assert len(await stand.decisions()) == count


async def test_five_cameras_are_not(stand: Stand) -> None:
    cameras = [stand.camera() for _ in range(5)]
    await stand.says(*cameras)
    assert (await ask(stand, *cameras)).status_code == 201


async def test_a_window_longer_than_a_day_is_denied(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    window = {"not_before": stand.text(), "not_after": stand.text(hours=24, seconds=1)}
    assert (await ask(stand, camera, window=window)).json()["reasons"] == ["window_too_long"]


async def test_a_camera_far_from_the_incident_is_out_of_scope(stand: Stand) -> None:
    camera = stand.camera()
    camera.place.latitude = -34.7
    await stand.says(camera)
    assert (await ask(stand, camera)).json()["reasons"] == ["out_of_scope"]


async def test_a_camera_nobody_knows_is_denied(stand: Stand) -> None:
    await stand.beat()
    answer = await ask(stand, stand.camera())
    assert answer.status_code == 403
    assert answer.json()["reasons"][0] == "camera_unknown"


async def test_the_emergency_path_is_refused_by_name(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    bases = [*bases_at("AR"), {"basis_code": "SYS.BREAKGLASS", "evidence": {"incident_ref": "INC-1"}}]
    problem = (await ask(stand, camera, bases=bases)).json()
    assert problem["reasons"] == ["basis_not_available"]
    assert problem["refused_bases"] == [{"basis_code": "SYS.BREAKGLASS", "reason": "basis_not_available"}]


async def test_a_document_is_kept_as_one(stand: Stand) -> None:
    camera = stand.camera()
    camera.jurisdiction = "AR-B"
    await stand.says(camera)
    request = (await ask(stand, camera)).json()
    found = (await (await stand.operator()).get(f"{REQUESTS_URL}/{request['id']}")).json()
    assert found["bases"][1]["evidence"]["prosecutor_order"] == {**ORDER, "sha256": None}


async def test_nothing_is_permitted_on_old_knowledge_and_that_is_on_file(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.operator()
    body = await stand.asking(olga, camera)
    stand.clock.advance(4)
    answer = await olga.post(REQUESTS_URL, json=body)
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:feedgate:problem:state-not-fresh"
    assert answer.json()["reasons"] == ["state_not_fresh"]
    [made] = await stand.decisions()
    assert (made.permitted, list(made.reasons)) == (False, ["state_not_fresh"])
    await stand.beat()
    assert (await olga.post(REQUESTS_URL, json=body)).status_code == 201


async def test_a_heartbeat_from_the_future_is_no_fresh_one(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.operator()
    body = await stand.asking(olga, camera)
    stand.clock.step(-10)
    assert (await olga.post(REQUESTS_URL, json=body)).status_code == 503


@ON_SQLITE_ONLY
@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "traffic_fines"},
        {"purpose": ""},
        {"case_number": "x"},
        {"case_number": "x" * 65},
        {"case_number": "IPP\n01"},
        {"case_number": "'; drop table"},
        {"camera_ids": []},
        {"camera_ids": ["front door"]},
        {"camera_ids": [new_id() for _ in range(101)]},
        {"camera_ids": ["01890000-0000-7000-8000-000000000000"] * 2},
        {"window": {"not_before": "2027-01-15T09:00:00Z", "not_after": "2027-01-15T09:00:00Z"}},
        {"window": {"not_before": "2027-01-15T09:00:00", "not_after": "2027-01-15T10:00:00"}},
        {"window": {"not_before": "2027-01-15T09:00:00Z"}},
        {"bases": []},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": 7}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": True}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": ["a"]}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": "x" * 2_001}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": "a\u0000b"}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"Purpose!": "a"}}]},
        {"bases": [{"basis_code": "AR.25326.5-2-b", "evidence": {"purpose": {"ref": "a"}}}]},
        {"bases": [{"basis_code": "lower", "evidence": {}}]},
        {"bases": bases_of("AR.25326.5-2-b", "AR.25326.5-2-b")},
        {"necessity": "We need it."},
        {"necessity": " " * 100},
        {"necessity": "-" * 100},
        {"necessity": "x" * 4_001},
        {"proportionality": "Fine."},
        {"incident_id": "the robbery"},
        {"approved": True},
        {"mode": "recorded"},
    ],
)
async def test_what_is_no_request_is_refused_and_nothing_is_changed(
    stand: Stand, wrong: dict[str, Any]
) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.operator()
    body = await stand.asking(olga, camera)
    before = await rows(stand)
    answer = await olga.post(REQUESTS_URL, json=body | wrong)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:feedgate:problem:invalid-request"
    assert answer.json()["errors"]
    assert await rows(stand) == before


async def test_evidence_nobody_asked_for_is_refused_and_not_kept(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    bases = bases_at("AR")
    bases[1]["evidence"]["suspects_religion"] = "none of our business"
    olga = await stand.operator()
    body = await stand.asking(olga, camera, bases=bases)
    before = await rows(stand)
    answer = await olga.post(REQUESTS_URL, json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["path"] == "body.bases.1.evidence.suspects_religion"
    assert "mission_legal_basis" in error["allowed"]
    assert "none of our business" not in answer.text
    assert await rows(stand) == before


async def test_evidence_of_a_wrong_kind_is_named_by_its_place_alone(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    bases = bases_at("AR")
    bases[0]["evidence"]["legal_provision"] = {"a": 1}
    olga = await stand.operator()
    answer = await olga.post(REQUESTS_URL, json=await stand.asking(olga, camera, bases=bases))
    path = "body.bases.0.evidence.legal_provision"
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"path": path, "seen": "an object", "allowed": "text or a document"}]
    assert answer.json()["detail"] == f"1 of the request's values cannot be used: `{path}`"


async def test_another_agencys_files_do_not_exist(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    request = (await ask(stand, camera)).json()
    decision_id = request["decision"]["cameras"][0]["decision_id"]
    nora = await stand.person("nora", "operator", "supervisor", agency="policia-norte")
    for path in (
        f"{REQUESTS_URL}/{request['id']}",
        f"{REQUESTS_URL}/{request['id']}/decisions",
        f"/access-policy/v1/decisions/{decision_id}",
    ):
        assert (await nora.get(path)).status_code == 404
    for act in ("approve", "refuse"):
        answer = await nora.post(f"{REQUESTS_URL}/{request['id']}/{act}", json={"reasons": "I may."})
        assert answer.status_code == 404
    assert (await nora.get(REQUESTS_URL)).json() == {"items": [], "next": None}
    stolen = await stand.asking(nora, camera, incident_id=request["incident_id"])
    assert (await nora.post(REQUESTS_URL, json=stolen)).status_code == 404


async def test_a_list_is_read_in_parts_newest_first(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    ids = [(await ask(stand, camera)).json()["id"] for _ in range(3)]
    sara = await stand.supervisor()
    first = (await sara.get(REQUESTS_URL, params={"limit": 2})).json()
    assert [each["id"] for each in first["items"]] == ids[:0:-1]
    second = (await sara.get(REQUESTS_URL, params={"limit": 2, "after": first["next"]})).json()
    assert [each["id"] for each in second["items"]] == ids[:1]
    assert second["next"] is None
    assert (await sara.get(REQUESTS_URL, params={"limit": 3})).json()["next"] is None
    assert first["items"][0]["requested_by_you"] is False


async def test_the_law_of_a_place_is_told_with_what_it_asks_for(stand: Stand) -> None:
    sara = await stand.supervisor()
    law = (await sara.get("/access-policy/v1/legal-bases", params={"jurisdiction": "AR-B"})).json()
    assert law["packs"] == ["root", "AR", "AR-B"]
    rows_told = {row["basis_code"]: row for row in law["items"]}
    assert set(rows_told) == {
        "AR.25326.5-2-b",
        "AR.25326.23-2",
        "AR.DISP10-2015",
        "AR.RES283-2012",
        "AR-B.CPP.265bis",
        "AR-B.TANDIL.17835",
    }
    assert rows_told["AR.25326.23-2"]["required_evidence"] == [
        "mission_legal_basis",
        "strict_need",
        "file_id",
        "reliability_grade",
    ]
    assert rows_told["AR.25326.23-2"]["longest_live_s"] == 3_600
    assert rows_told["AR-B.CPP.265bis"]["longest_live_s"] == 0
    assert [each["field"] for each in law["documents"]] == ["prosecutor_order", "judicial_order"]
    assert (await sara.get("/access-policy/v1/legal-bases", params={"jurisdiction": "BR"})).status_code == 404
    assert (
        await sara.get("/access-policy/v1/legal-bases", params={"jurisdiction": "../AR"})
    ).status_code == 422
