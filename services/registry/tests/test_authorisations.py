import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.topics import CAMERA_STATE, Setting, load_topics

from .conftest import AUTHORISATION, ON_SQLITE_ONLY, Stand, authorised, code_of, registered

SCHEDULE = {
    "time_zone": "America/Argentina/Buenos_Aires",
    "windows": [{"days": ["mon", "tue"], "from": "20:00", "until": "06:00"}],
}


async def test_an_authorisation_is_in_force_at_once(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    stand.clock.advance(60)
    answer = await ana.post(
        f"/registry/v1/cameras/{camera['id']}/authorisations",
        json=AUTHORISATION | {"schedule": SCHEDULE, "expires_at": stand.clock.text(days=30)},
    )
    assert answer.status_code == 201
    given = answer.json()
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/registry/v1/authorisations/{given['id']}"
    assert given == {
        "id": given["id"],
        "camera_id": camera["id"],
        "version": 1,
        "state": "active",
        "agencies": ["policia-norte", "policia-sur"],
        "purposes": ["investigate", "vital_interest"],
        "renditions": ["original"],
        "schedule": {
            "time_zone": "America/Argentina/Buenos_Aires",
            "windows": [
                {"days": ["mon"], "from": "20:00", "until": "24:00"},
                {"days": ["tue"], "from": "00:00", "until": "06:00"},
                {"days": ["tue"], "from": "20:00", "until": "24:00"},
                {"days": ["wed"], "from": "00:00", "until": "06:00"},
            ],
        },
        "approval_mode": "standing",
        "given_at": stand.clock.text(),
        "expires_at": stand.clock.text(days=30),
        "ended_at": None,
    }
    assert (await ana.get(f"/registry/v1/authorisations/{given['id']}")).json() == given
    state = await stand.state(camera["id"])
    assert (state.version, state.sharing) == (2, camera_pb.SHARING_ON)
    (terms,) = state.terms
    assert terms.authorisation_id == given["id"]
    assert list(terms.agencies) == ["policia-norte", "policia-sur"]
    assert terms.opens_at.ToMicroseconds() == stand.clock.now_us()
    assert terms.expires_at.ToMicroseconds() == stand.clock.now_us() + 30 * 86_400 * 1_000_000
    assert [(window.weekday, window.from_minute) for window in terms.schedule.windows] == [
        (1, 1200),
        (2, 0),
        (2, 1200),
        (3, 0),
    ]
    read = (await ana.get(f"/registry/v1/cameras/{camera['id']}")).json()
    assert (read["version"], read["sharing"]) == (2, "on")


async def test_without_an_expiry_it_lasts_a_year(stand: Stand) -> None:
    ana = await stand.owner("ana")
    given = await authorised(ana, (await registered(ana))["id"])
    assert given["expires_at"] == stand.clock.text(days=365)
    assert given["schedule"] is None


async def test_a_camera_carries_one_term_for_each_authorisation_in_force(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = [
        await authorised(ana, camera["id"], agencies=[name]) for name in ("policia-norte", "policia-sur")
    ]
    state = await stand.state(camera["id"])
    assert [terms.authorisation_id for terms in state.terms] == [one["id"] for one in given]
    url = f"/registry/v1/cameras/{camera['id']}/authorisations"
    page = (await ana.get(url, params={"limit": 1})).json()
    assert page["items"] == given[:1]
    assert (await ana.get(url, params={"after": page["next"]})).json() == {"items": given[1:], "next": None}


async def test_the_record_of_a_camera_cannot_grow_without_end(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = [await authorised(ana, camera["id"]) for _ in range(5)]
    url = f"/registry/v1/cameras/{camera['id']}/authorisations"
    answer = await ana.post(url, json=AUTHORISATION)
    assert (answer.status_code, code_of(answer)) == (409, "too-many-authorisations")
    await ana.post(f"/registry/v1/authorisations/{given[0]['id']}/withdraw")
    assert (await ana.post(url, json=AUTHORISATION)).status_code == 201


@ON_SQLITE_ONLY
async def test_an_authorisation_that_no_record_can_hold_is_refused_and_nothing_is_changed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    before = (await ana.get(url)).json()
    small = Setting("500", "of this test")
    topic = load_topics()[CAMERA_STATE]
    shrunk = replace(topic, config=MappingProxyType({**topic.config, "max.message.bytes": small}))
    monkeypatch.setattr("feedgate_kit.outbox.load_topics", lambda: {**load_topics(), CAMERA_STATE: shrunk})
    answer = await ana.post(f"{url}/authorisations", json=AUTHORISATION)
    assert (answer.status_code, code_of(answer)) == (409, "record-too-large")
    assert re.search(r"is \d{3,4} bytes on the wire; allowed: 500", answer.json()["detail"])
    assert (await ana.get(url)).json() == before
    assert (await ana.get(f"{url}/authorisations")).json()["items"] == []
    assert len(await stand.states(camera["id"])) == 1


BAD_AUTHORISATIONS: list[Any] = [
    pytest.param({"agencies": []}, "invalid-request", "body.agencies", id="no agency"),
    pytest.param({"agencies": "policia-norte"}, "invalid-request", "body.agencies", id="bare agency"),
    pytest.param({"agencies": ["policia-norte"] * 2}, "invalid-request", "body.agencies", id="agency twice"),
    pytest.param({"agencies": ["interpol"]}, "unknown-agency", "body.agencies", id="unknown agency"),
    pytest.param({"purposes": []}, "invalid-request", "body.purposes", id="no purpose"),
    pytest.param({"purposes": ["curiosity"]}, "invalid-request", "body.purposes.0", id="unknown purpose"),
    pytest.param({"renditions": ["masked"]}, "invalid-request", "body.renditions.0", id="rendition to come"),
    pytest.param({"approval_mode": "owner_each_time"}, "invalid-request", "body.approval_mode", id="mode"),
    pytest.param({"caps": {}}, "invalid-request", "body.caps", id="unknown field"),
    pytest.param({"expires_at": "2026-11-19"}, "invalid-request", "body.expires_at", id="a day"),
    pytest.param({"expires_at": "2027-01-01T00:00:00"}, "invalid-request", "body.expires_at", id="no zone"),
    pytest.param({"expires_at": 1_820_000_000}, "invalid-request", "body.expires_at", id="a number"),
    pytest.param({"expires_at": "2026-01-01T00:00:00Z"}, "invalid-expiry", "body.expires_at", id="past"),
    pytest.param({"expires_at": "2029-01-01T00:00:00Z"}, "invalid-expiry", "body.expires_at", id="too far"),
    pytest.param(
        {"schedule": SCHEDULE | {"time_zone": "Mars/Olympus"}},
        "invalid-schedule",
        "body.schedule.time_zone",
        id="no such zone",
    ),
    pytest.param(
        {"schedule": {"time_zone": "UTC", "windows": []}},
        "invalid-request",
        "body.schedule.windows",
        id="no window",
    ),
    pytest.param(
        {"schedule": {"time_zone": "UTC", "windows": [{"days": ["mon"], "from": "25:00", "until": "26:00"}]}},
        "invalid-schedule",
        "body.schedule.windows.0.from",
        id="no such time",
    ),
    pytest.param(
        {"schedule": {"time_zone": "UTC", "windows": [{"days": ["foo"], "from": "08:00", "until": "09:00"}]}},
        "invalid-request",
        "body.schedule.windows.0.days.0",
        id="no such day",
    ),
]


@ON_SQLITE_ONLY
@pytest.mark.parametrize(("fields", "code", "path"), BAD_AUTHORISATIONS)
async def test_a_bad_authorisation_is_refused_and_nothing_is_shared(
    stand: Stand, fields: dict[str, Any], code: str, path: str
) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    answer = await ana.post(
        f"/registry/v1/cameras/{camera['id']}/authorisations", json=AUTHORISATION | fields
    )
    assert (answer.status_code, code_of(answer)) == (422, code)
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert all(error["allowed"] for error in answer.json()["errors"])
    assert len(await stand.states(camera["id"])) == 1


NARROWINGS: list[Any] = [
    pytest.param({"agencies": ["policia-sur"]}, id="fewer agencies"),
    pytest.param({"purposes": ["vital_interest"]}, id="fewer purposes"),
    pytest.param({"expires_at": "2027-02-01T00:00:00Z"}, id="an earlier expiry"),
    pytest.param(
        {
            "schedule": {
                "time_zone": "America/Argentina/Buenos_Aires",
                "windows": [{"days": ["mon"], "from": "21:00", "until": "22:00"}],
            }
        },
        id="a tighter schedule",
    ),
    pytest.param({"agencies": ["policia-sur"], "purposes": ["investigate"]}, id="two at once"),
]


@pytest.mark.parametrize("changes", NARROWINGS)
async def test_narrowing_bites_at_once_and_keeps_the_id(stand: Stand, changes: dict[str, Any]) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"], schedule=SCHEDULE)
    opened = (await stand.state(camera["id"])).terms[0].opens_at
    stand.clock.advance(60)
    url = f"/registry/v1/authorisations/{given['id']}"
    answer = await ana.patch(url, json=changes, headers={"If-Match": '"1"'})
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == '"2"'
    assert {name: answer.json()[name] for name in changes} == changes
    assert answer.json() == given | changes | {"version": 2}
    state = await stand.state(camera["id"])
    (terms,) = state.terms
    assert (state.version, terms.authorisation_id, terms.opens_at) == (3, given["id"], opened)
    record = (await stand.audit_records())[-1]
    assert (record.event, record.authorisation_id) == ("authorisation.narrowed", given["id"])


WIDENINGS: list[Any] = [
    pytest.param({"agencies": ["policia-norte", "policia-sur"]}, "agencies", id="an agency more"),
    pytest.param({"agencies": ["interpol"]}, "agencies", id="another agency"),
    pytest.param({"purposes": ["investigate", "detect"]}, "purposes", id="a purpose more"),
    pytest.param({"expires_at": "2027-05-01T00:00:00Z"}, "expires_at", id="a later expiry"),
    pytest.param({"schedule": None}, "schedule", id="no schedule"),
    pytest.param(
        {
            "schedule": {
                "time_zone": "America/Argentina/Buenos_Aires",
                "windows": [{"days": ["mon"], "from": "19:59", "until": "20:30"}],
            }
        },
        "schedule",
        id="a minute more",
    ),
]


@ON_SQLITE_ONLY
@pytest.mark.parametrize(("changes", "field"), WIDENINGS)
async def test_widening_needs_a_new_authorisation(stand: Stand, changes: dict[str, Any], field: str) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(
        ana,
        camera["id"],
        agencies=["policia-norte"],
        purposes=["investigate"],
        schedule=SCHEDULE,
        expires_at="2027-03-01T00:00:00Z",
    )
    url = f"/registry/v1/authorisations/{given['id']}"
    answer = await ana.patch(url, json=changes, headers={"If-Match": '"1"'})
    assert (answer.status_code, code_of(answer)) == (409, "widening-needs-new-authorisation")
    assert answer.json()["fields"] == [field]
    assert (await ana.get(url)).json() == given
    assert len(await stand.states(camera["id"])) == 2


@ON_SQLITE_ONLY
@pytest.mark.parametrize(
    "body", [{"agencies": []}, {"purposes": None}, {"state": "active"}, {"expires_at": None}]
)
async def test_a_narrowing_that_is_none_is_refused(stand: Stand, body: dict[str, Any]) -> None:
    ana = await stand.owner("ana")
    given = await authorised(ana, (await registered(ana))["id"])
    answer = await ana.patch(
        f"/registry/v1/authorisations/{given['id']}", json=body, headers={"If-Match": '"1"'}
    )
    assert (answer.status_code, code_of(answer)) == (422, "invalid-request")


async def test_narrowing_to_an_expiry_that_has_passed_is_a_withdrawal_and_is_said_so(stand: Stand) -> None:
    ana = await stand.owner("ana")
    given = await authorised(ana, (await registered(ana))["id"])
    answer = await ana.patch(
        f"/registry/v1/authorisations/{given['id']}",
        json={"expires_at": stand.clock.text(seconds=-1)},
        headers={"If-Match": '"1"'},
    )
    assert (answer.status_code, code_of(answer)) == (422, "invalid-expiry")
    (error,) = answer.json()["errors"]
    assert error["seen"] == stand.clock.text(seconds=-1)
    assert error["allowed"].startswith("later than now and not after 20")
    assert error["allowed"].endswith("Z")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59"])
async def test_an_expiry_that_has_no_time_in_utc_is_refused(stand: Stand, at: str) -> None:
    ana = await stand.owner("ana")
    given = await authorised(ana, (await registered(ana))["id"])
    answer = await ana.patch(
        f"/registry/v1/authorisations/{given['id']}", json={"expires_at": at}, headers={"If-Match": '"1"'}
    )
    assert (answer.status_code, code_of(answer)) == (422, "invalid-request")
    assert answer.json()["errors"] == [
        {"path": "body.expires_at", "seen": at, "allowed": "a time from 1970 to 2199"}
    ]


async def test_a_narrowing_is_made_to_the_version_its_maker_saw(stand: Stand) -> None:
    ana = await stand.owner("ana")
    given = await authorised(ana, (await registered(ana))["id"])
    url = f"/registry/v1/authorisations/{given['id']}"
    body = {"agencies": ["policia-sur"]}
    for headers, status in (({}, 428), ({"If-Match": '"2"'}, 412)):
        assert (await ana.patch(url, json=body, headers=headers)).status_code == status
    assert (await ana.get(url)).json() == given
    unchanged = await ana.patch(url, json={"agencies": given["agencies"]}, headers={"If-Match": '"1"'})
    assert unchanged.json() == given


async def test_an_ended_authorisation_cannot_be_changed(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    withdrawn, expired = (
        await authorised(ana, camera["id"]),
        await authorised(ana, camera["id"], expires_at=stand.clock.text(seconds=10)),
    )
    await ana.post(f"/registry/v1/authorisations/{withdrawn['id']}/withdraw")
    stand.clock.advance(10)
    for given, version in ((withdrawn, 2), (expired, 1)):
        answer = await ana.patch(
            f"/registry/v1/authorisations/{given['id']}",
            json={"purposes": ["investigate"]},
            headers={"If-Match": f'"{version}"'},
        )
        assert (answer.status_code, code_of(answer)) == (409, "authorisation-ended")
