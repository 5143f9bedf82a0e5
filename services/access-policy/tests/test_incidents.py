import pytest
from sqlalchemy import select

from feedgate_access_policy.tables import INCIDENTS, PEOPLE
from feedgate_contracts.audit.v1 import audit_pb2
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit.ids import new_id

from .conftest import Stand, stamp

INCIDENTS_URL = "/access-policy/v1/incidents"
INCIDENT = {
    "number": "INC-2027/0042",
    "place": {"type": "Point", "coordinates": [-58.382, -34.604]},
    "occurred_at": "2027-01-15T04:55:00-03:00",
    "description": "Two persons left through the north door.",
}


async def test_an_incident_is_recorded_under_its_number_place_and_time(stand: Stand) -> None:
    olga = await stand.operator()
    answer = await olga.post(INCIDENTS_URL, json=INCIDENT)
    assert answer.status_code == 201
    incident = answer.json()
    assert incident == {
        "id": incident["id"],
        "number": "INC-2027/0042",
        "place": {"type": "Point", "coordinates": [-58.382, -34.604]},
        "occurred_at": "2027-01-15T07:55:00Z",
        "description": "Two persons left through the north door.",
        "recorded_by": stand.pseudonym("olga"),
        "recorded_at": stand.text(),
    }
    assert (await olga.get(f"{INCIDENTS_URL}/{incident['id']}")).json() == incident
    [record] = await stand.audit_records()
    assert (record.event, record.operation) == ("incident.recorded", audit_pb2.OPERATION_COLLECTION)
    assert record.actor == audit_pb2.Actor(
        pseudonym=stand.pseudonym("olga"), agency="policia-sur", role="operator"
    )


async def test_who_a_pseudonym_is_stands_in_this_database_and_in_no_answer_or_record(stand: Stand) -> None:
    olga = await stand.operator("olga.perez")
    answer = await olga.post(INCIDENTS_URL, json=INCIDENT)
    async with stand.database.read() as connection:
        [person] = (await connection.execute(select(PEOPLE))).all()
    assert (person.pseudonym, person.issuer, person.subject, person.agency) == (
        stand.pseudonym("olga.perez"),
        "https://sur.test",
        "olga.perez",
        "policia-sur",
    )
    assert "olga.perez" not in answer.text
    assert all(b"olga.perez" not in record.SerializeToString() for record in await stand.audit_records())


async def test_another_agencys_incident_does_not_exist(stand: Stand) -> None:
    incident_id = await stand.incident(await stand.operator())
    nora = await stand.person("nora", "operator", agency="policia-norte")
    for path in (f"{INCIDENTS_URL}/{incident_id}", f"{INCIDENTS_URL}/{incident_id}/cameras"):
        answer = await nora.get(path)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:feedgate:problem:not-found"


async def test_an_incident_that_is_none_is_refused_and_nothing_is_kept(stand: Stand) -> None:
    olga = await stand.operator()
    for wrong in (
        {"number": ""},
        {"number": "x" * 65},
        {"number": "a\u0000b-1"},
        {"place": {"type": "Point", "coordinates": [181, 0]}},
        {"place": {"type": "Point", "coordinates": [0, 0, 0]}},
        {"place": {"type": "Polygon", "coordinates": [0, 0]}},
        {"occurred_at": "2027-01-15T04:55:00"},
        {"occurred_at": "9999-12-31T23:59:59-23:59"},
        {"occurred_at": "9999-12-31T00:00:00Z"},
        {"description": "d" * 2_001},
        {"description": "nul \u0000"},
        {"agency": "policia-norte"},
    ):
        answer = await olga.post(INCIDENTS_URL, json=INCIDENT | wrong)
        assert answer.status_code == 422, wrong
        assert answer.json()["type"] == "urn:feedgate:problem:invalid-request"
    async with stand.database.read() as connection:
        assert (await connection.execute(select(INCIDENTS))).all() == []


async def near(stand: Stand, incident_id: str, **query: int) -> list[dict[str, object]]:
    answer = await (await stand.operator()).get(f"{INCIDENTS_URL}/{incident_id}/cameras", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["left_out"] == 0
    cameras: list[dict[str, object]] = answer.json()["items"]
    return cameras


async def test_what_is_left_out_of_the_answer_is_said(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedgate_access_policy.api.MOST_CAMERAS_TOLD", 2)
    cameras = [stand.camera() for _ in range(5)]
    await stand.says(*cameras)
    olga = await stand.operator()
    answer = (await olga.get(f"{INCIDENTS_URL}/{await stand.incident(olga)}/cameras")).json()
    assert (len(answer["items"]), answer["left_out"]) == (2, 3)


async def test_cameras_near_an_incident_are_told_with_a_rounded_place(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    [told] = await near(stand, await stand.incident(await stand.operator()))
    assert told == {
        "camera_id": camera.camera_id,
        "place": {"type": "Point", "coordinates": [-58.382, -34.604]},
        "place_precision": "rounded",
        "bearing_degrees": 90.0,
        "field_of_view_degrees": 70.0,
        "distance_m": 0,  # of the rounded place, not of the true one
        "jurisdiction": "AR",
        "sharing": "on",
        "purposes": ["investigate", "vital_interest"],
        "authorisations": [camera.terms[0].authorisation_id],
    }
    [searched] = await stand.audit_records("cameras.searched")
    assert searched.operation == audit_pb2.OPERATION_CONSULTATION
    assert searched.detail["found"] == "1"


async def test_only_cameras_that_share_with_the_asker_now_are_told(stand: Stand) -> None:
    mine, paused = stand.camera(), stand.camera()
    paused.sharing = camera_pb2.SHARING_PAUSED
    others = stand.camera()
    others.terms[0].agencies[:] = ["policia-norte"]
    stopped = stand.camera()
    stopped.sharing = camera_pb2.SHARING_STOPPED
    del stopped.terms[:]
    expired = stand.camera()
    expired.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us()))
    removed = stand.camera()
    removed.removed = True
    await stand.says(mine, paused, others, stopped, expired, removed)
    told = await near(stand, await stand.incident(await stand.operator()))
    assert {camera["camera_id"]: camera["sharing"] for camera in told} == {
        mine.camera_id: "on",
        paused.camera_id: "paused",
    }


async def test_the_terms_of_others_are_not_told(stand: Stand) -> None:
    camera = stand.camera()
    camera.terms.append(stand.terms(agencies=["policia-norte"], purposes=["prosecute"]))
    await stand.says(camera)
    [told] = await near(stand, await stand.incident(await stand.operator()))
    assert told["authorisations"] == [camera.terms[0].authorisation_id]
    assert told["purposes"] == ["investigate", "vital_interest"]


async def test_the_nearest_come_first_and_the_radius_is_kept(stand: Stand) -> None:
    by_distance = [stand.camera() for _ in range(3)]
    for number, camera in enumerate(by_distance):
        camera.place.latitude = -34.604 - number * 0.004  # some 445 m each
    await stand.says(*reversed(by_distance))
    incident_id = await stand.incident(await stand.operator())
    ids = [camera.camera_id for camera in by_distance]
    assert [each["camera_id"] for each in await near(stand, incident_id, radius_m=2_000)] == ids
    assert [each["camera_id"] for each in await near(stand, incident_id)] == ids[:2]
    assert [each["camera_id"] for each in await near(stand, incident_id, radius_m=100)] == ids[:1]


async def test_a_radius_beyond_two_kilometres_is_refused(stand: Stand) -> None:
    incident_id = await stand.incident(await stand.operator())
    for radius in (0, 2_001, "wide"):
        answer = await (await stand.operator()).get(
            f"{INCIDENTS_URL}/{incident_id}/cameras", params={"radius_m": radius}
        )
        assert answer.status_code == 422


async def test_the_place_is_exact_while_a_grant_is_live_and_no_longer(stand: Stand) -> None:
    camera, other = stand.camera(), stand.camera()
    await stand.says(camera, other)
    [grant] = await stand.granted(camera)
    incident_id = await stand.incident(await stand.operator())
    told = {each["camera_id"]: each for each in await near(stand, incident_id)}
    assert told[camera.camera_id]["place"] == {"type": "Point", "coordinates": [-58.38164, -34.60372]}
    assert told[camera.camera_id]["place_precision"] == "exact"
    assert told[other.camera_id]["place_precision"] == "rounded"
    await (await stand.operator()).post(f"/access-policy/v1/grants/{grant['id']}/end")
    assert {each["place_precision"] for each in await near(stand, incident_id)} == {"rounded"}


async def test_a_grant_that_has_not_begun_tells_no_exact_place(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    await stand.granted(camera, window={"not_before": stand.text(hours=1), "not_after": stand.text(hours=2)})
    [told] = await near(stand, await stand.incident(await stand.operator()))
    assert told["place_precision"] == "rounded"


async def test_what_an_owner_stopped_is_no_longer_told(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    incident_id = await stand.incident(await stand.operator())
    assert len(await near(stand, incident_id)) == 1
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]
    await stand.says(camera)
    assert await near(stand, incident_id) == []


async def test_nothing_is_told_on_old_knowledge(stand: Stand) -> None:
    await stand.says(stand.camera())
    incident_id = await stand.incident(await stand.operator())
    stand.clock.advance(4)
    answer = await (await stand.operator()).get(f"{INCIDENTS_URL}/{incident_id}/cameras")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:feedgate:problem:state-not-fresh"
    assert answer.headers["Retry-After"] == "1"
    await stand.beat()
    assert len(await near(stand, incident_id)) == 1


async def test_an_unreadable_record_hides_its_camera_until_the_next_version(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    incident_id = await stand.incident(await stand.operator())
    await stand.put(camera.camera_id, b"\xff\xff", 2)
    await stand.beat()
    assert await near(stand, incident_id) == []
    stand.versions[camera.camera_id] = 2
    await stand.says(camera)
    assert len(await near(stand, incident_id)) == 1


async def test_an_unknown_incident_is_not_found(stand: Stand) -> None:
    answer = await (await stand.operator()).get(f"{INCIDENTS_URL}/{new_id()}/cameras")
    assert answer.status_code == 404
