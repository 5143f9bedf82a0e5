import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.ids import new_id
from feedgate_kit.tokens import LocalIssuer
from feedgate_registry.tables import CAMERAS, OWNERS

from .conftest import AUTHORISATION, CAMERA, ON_SQLITE_ONLY, PASSWORD, Stand, authorised, code_of, registered

CAMERAS_URL = "/registry/v1/cameras"


async def test_a_registered_camera_is_shared_with_nobody(stand: Stand) -> None:
    ana = await stand.owner("ana")
    answer = await ana.post(CAMERAS_URL, json=CAMERA)
    assert answer.status_code == 201
    camera = answer.json()
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"{CAMERAS_URL}/{camera['id']}"
    assert camera == {
        "id": camera["id"],
        "version": 1,
        "name": "Front door",
        "place": {"type": "Point", "coordinates": [-58.3816, -34.6037]},
        "bearing_degrees": 90.0,
        "field_of_view_degrees": 75.5,
        "jurisdiction": "AR-B",
        "ingest_pool": "site",
        "sharing": "stopped",
        "source": {"scheme": "rtsp", "set_at": stand.clock.text()},
        "feed": {
            "phase": "unknown",
            "reason": None,
            "detail": None,
            "codec": None,
            "width": None,
            "height": None,
            "changed_at": None,
        },
        "created_at": stand.clock.text(),
    }
    state = await stand.state(camera["id"])
    assert state.sharing == camera_pb.SHARING_STOPPED
    assert not state.terms
    assert state.owner == stand.key_of("ana")
    assert (state.version, state.pool_version, state.ingest_pool) == (1, 1, "site")
    assert (state.place.longitude, state.place.latitude) == (-58.3816, -34.6037)
    assert (state.place.bearing_degrees, state.place.field_of_view_degrees) == (90.0, 75.5)


async def test_a_camera_reads_as_it_was_registered(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    answer = await ana.get(f"{CAMERAS_URL}/{camera['id']}")
    assert answer.json() == camera
    assert answer.headers["ETag"] == '"1"'


async def test_an_account_is_made_at_the_first_call_and_only_then(stand: Stand) -> None:
    ana = await stand.owner("ana")
    for _ in range(2):
        assert (await ana.get(CAMERAS_URL)).json() == {"items": [], "next": None}
    async with stand.database.read() as connection:
        rows = (await connection.execute(OWNERS.select())).all()
    assert [(row.owner, row.subject) for row in rows] == [(stand.key_of("ana"), "ana")]
    assert [record.event for record in await stand.audit_records()] == ["owner.registered"]


async def test_pages_hold_every_camera_once_oldest_first(stand: Stand) -> None:
    ana, eva = await stand.owner("ana"), await stand.owner("eva")
    made = [(await registered(ana, name=f"camera {number}"))["id"] for number in range(5)]
    await registered(eva)
    seen: list[str] = []
    after: dict[str, Any] = {}
    for _ in range(3):
        page = (await ana.get(CAMERAS_URL, params={"limit": 2} | after)).json()
        seen += [camera["id"] for camera in page["items"]]
        after = {"after": page["next"]}
    assert page["next"] is None
    assert seen == sorted(made)


@pytest.mark.parametrize("query", [{"limit": 101}, {"limit": 0}, {"after": "x"}, {"limit": "many"}])
async def test_a_page_has_at_most_a_hundred_cameras(stand: Stand, query: dict[str, Any]) -> None:
    answer = await (await stand.owner("ana")).get(CAMERAS_URL, params=query)
    assert (answer.status_code, code_of(answer)) == (422, "invalid-request")


async def test_what_is_sent_changes_and_the_rest_stays(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"{CAMERAS_URL}/{camera['id']}"
    stand.clock.advance(60)
    changes = {
        "name": "Back door",
        "place": {"type": "Point", "coordinates": [0, 51.5]},
        "jurisdiction": "GB",
    }
    answer = await ana.patch(url, json=changes, headers={"If-Match": '"1"'})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    assert answer.json() == camera | changes | {"version": 2}
    assert answer.json() == (await ana.get(url)).json()
    state = await stand.state(camera["id"])
    assert (state.version, state.jurisdiction, state.place.longitude, state.place.latitude) == (
        2,
        "GB",
        0,
        51.5,
    )
    assert state.pool_version == 1
    record = (await stand.audit_records())[-1]
    assert (record.event, record.detail["changed"]) == ("camera.changed", "jurisdiction,name,place")


async def test_a_change_that_changes_nothing_makes_no_version(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    for body in ({}, {"name": camera["name"], "place": camera["place"]}):
        answer = await ana.patch(f"{CAMERAS_URL}/{camera['id']}", json=body, headers={"If-Match": '"1"'})
        assert answer.json() == camera
    assert len(await stand.states(camera["id"])) == 1


async def test_a_new_source_is_a_new_epoch_of_the_camera(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    stand.clock.advance(60)
    answer = await ana.patch(
        f"{CAMERAS_URL}/{camera['id']}",
        json={"source": {"url": "rtsp://8.8.4.4/other"}},
        headers={"If-Match": '"1"'},
    )
    assert answer.json()["source"] == {"scheme": "rtsp", "set_at": stand.clock.text()}
    state = await stand.state(camera["id"])
    assert (state.version, state.pool_version) == (2, 2)


async def test_another_pool_needs_the_source_again_because_nobody_can_open_the_old_seal(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"{CAMERAS_URL}/{camera['id']}"
    answer = await ana.patch(url, json={"ingest_pool": "depot"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, code_of(answer)) == (422, "source-needed")
    moved = {"ingest_pool": "depot", "source": {"url": "rtsp://192.168.7.9/live"}}
    answer = await ana.patch(url, json=moved, headers={"If-Match": '"1"'})
    assert answer.json()["ingest_pool"] == "depot"
    state = await stand.state(camera["id"])
    assert (state.ingest_pool, state.version, state.pool_version) == ("depot", 2, 2)


async def test_a_change_is_made_to_the_version_its_maker_saw(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"{CAMERAS_URL}/{camera['id']}"
    answer = await ana.patch(url, json={"name": "New"})
    assert (answer.status_code, code_of(answer)) == (428, "precondition-required")
    answer = await ana.patch(url, json={"name": "New"}, headers={"If-Match": '"7"'})
    assert (answer.status_code, code_of(answer)) == (412, "version-conflict")
    assert (await ana.get(url)).json() == camera
    assert len(await stand.states(camera["id"])) == 1


async def test_a_removal_is_a_stop_and_heeds_no_version(stand: Stand) -> None:
    ana = await stand.owner("ana")
    url = f"{CAMERAS_URL}/{(await registered(ana))['id']}"
    assert (await ana.delete(url, headers={"If-Match": '"7"'})).json()["stopped_at"]


async def test_of_two_concurrent_edits_one_is_refused(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"{CAMERAS_URL}/{camera['id']}"

    async def edit(name: str) -> httpx.Response:
        return await ana.patch(url, json={"name": name}, headers={"If-Match": '"1"'})

    answers = await asyncio.gather(*(edit(f"name {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    assert [state.version for state in await stand.states(camera["id"])] == [1, 2]


async def test_a_removed_camera_is_stopped_its_source_erased_and_its_record_kept(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    stand.clock.advance(60)
    answer = await ana.delete(f"{CAMERAS_URL}/{camera['id']}")
    assert answer.status_code == 200
    assert answer.json() == {
        "stopped_at": stand.clock.text(),
        "dark_no_later_than": stand.clock.text(seconds=5),
    }
    state = await stand.state(camera["id"])
    assert (state.version, state.removed, state.sharing) == (3, True, camera_pb.SHARING_STOPPED)
    assert not state.terms
    async with stand.database.read() as connection:
        row = (await connection.execute(CAMERAS.select())).one()
    assert (row.sealed_source, row.removed_at_us) == (None, stand.clock.now_us())
    ended = (await ana.get(f"/registry/v1/authorisations/{given['id']}")).json()
    assert (ended["state"], ended["ended_at"]) == ("withdrawn", stand.clock.text())
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        body: dict[str, Any] | None = {} if method == "PATCH" else None
        again = await ana.request(method, f"{CAMERAS_URL}/{camera['id']}{path}", json=body)
        assert (again.status_code, code_of(again)) == (404, "not-found")
    assert (await ana.get(CAMERAS_URL)).json()["items"] == []


OWN_ROUTES = [
    ("GET", "/cameras/{camera}", None),
    ("PATCH", "/cameras/{camera}", {"name": "Mine now"}),
    ("DELETE", "/cameras/{camera}", None),
    ("POST", "/cameras/{camera}/pause", None),
    ("POST", "/cameras/{camera}/resume", None),
    ("GET", "/cameras/{camera}/authorisations", None),
    ("POST", "/cameras/{camera}/authorisations", {"agencies": ["policia-norte"], "purposes": ["detect"]}),
    ("GET", "/authorisations/{authorisation}", None),
    ("PATCH", "/authorisations/{authorisation}", {"purposes": ["investigate"]}),
    ("POST", "/authorisations/{authorisation}/withdraw", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OWN_ROUTES)
async def test_somebody_elses_camera_looks_like_none(
    stand: Stand, method: str, path: str, body: dict[str, Any] | None
) -> None:
    ana, eva = await stand.owner("ana"), await stand.owner("eva")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    before = await stand.states(camera["id"])
    headers = {"If-Match": '"2"'}
    theirs = path.format(camera=camera["id"], authorisation=given["id"])
    nobodys = path.format(camera=new_id(), authorisation=new_id())
    answers = [
        await eva.request(method, f"/registry/v1{one}", json=body, headers=headers)
        for one in (theirs, nobodys)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()
    assert await stand.states(camera["id"]) == before
    assert (await ana.get(f"/registry/v1/authorisations/{given['id']}")).json() == given


ALL_ROUTES = [
    ("GET", "/cameras"),
    ("POST", "/cameras"),
    ("GET", "/agencies"),
    ("GET", "/pools"),
    *((method, path) for method, path, _ in OWN_ROUTES),
]


@ON_SQLITE_ONLY
@pytest.mark.parametrize(("method", "path"), ALL_ROUTES)
async def test_every_route_needs_an_owners_token(stand: Stand, method: str, path: str) -> None:
    url = "/registry/v1" + path.format(camera=new_id(), authorisation=new_id())
    foreign = LocalIssuer.generate("https://nobody-configured.example", stand.clock, realm="owners")
    impostor = LocalIssuer.generate(stand.owners.config().issuer, stand.clock, realm="owners")
    for http, status in (
        (await stand.nobody(), 401),
        (await stand.bearer(foreign, "ana", "owner"), 401),
        (await stand.bearer(impostor, "ana", "owner"), 401),
        (await stand.bearer(stand.services, "ingest-1", "ingest", "owner"), 403),
    ):
        answer = await http.request(method, url, json=CAMERA if method == "POST" else None)
        assert answer.status_code == status
        assert code_of(answer)
    async with stand.database.read() as connection:
        assert (await connection.execute(OWNERS.select())).all() == []


async def test_an_expired_token_is_refused(stand: Stand) -> None:
    token = stand.owners.mint("ana", [])
    stand.clock.advance(3600)
    http = await stand.nobody()
    answer = await http.get(CAMERAS_URL, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


BAD_CAMERAS = [
    pytest.param({"owner": "eva"}, "body.owner", id="unknown field"),
    pytest.param({"name": ""}, "body.name", id="no name"),
    pytest.param({"name": "   "}, "body.name", id="blank name"),
    pytest.param({"name": "n" * 81}, "body.name", id="long name"),
    pytest.param({"name": "a\x00b"}, "body.name", id="control character"),
    pytest.param({"name": "see rtsp://u:p@h/"}, "body.name", id="address as a name"),
    pytest.param({"name": 7}, "body.name", id="number as a name"),
    pytest.param({"name": None}, "body.name", id="null name"),
    pytest.param({"bearing_degrees": -0.1}, "body.bearing_degrees", id="bearing below 0"),
    pytest.param({"bearing_degrees": 360.1}, "body.bearing_degrees", id="bearing above 360"),
    pytest.param({"bearing_degrees": "90"}, "body.bearing_degrees", id="text as a bearing"),
    pytest.param({"field_of_view_degrees": 0}, "body.field_of_view_degrees", id="no field of view"),
    pytest.param({"field_of_view_degrees": 361}, "body.field_of_view_degrees", id="wide field of view"),
    pytest.param({"jurisdiction": "ar-b"}, "body.jurisdiction", id="lower-case jurisdiction"),
    pytest.param({"jurisdiction": "Argentina"}, "body.jurisdiction", id="no jurisdiction code"),
    pytest.param({"place": [1, 2]}, "body.place", id="bare coordinates"),
    pytest.param({"place": {"type": "Polygon", "coordinates": [1, 2]}}, "body.place.type", id="polygon"),
    pytest.param(
        {"place": {"type": "Point", "coordinates": [180.1, 0]}}, "body.place.coordinates.0", id="longitude"
    ),
    pytest.param(
        {"place": {"type": "Point", "coordinates": [0, -90.1]}}, "body.place.coordinates.1", id="latitude"
    ),
    pytest.param(
        {"place": {"type": "Point", "coordinates": [0, 1, 2]}}, "body.place.coordinates", id="altitude"
    ),
    pytest.param(
        {"place": {"type": "Point", "coordinates": [0]}}, "body.place.coordinates.1", id="one number"
    ),
    pytest.param({"source": f"rtsp://u:{PASSWORD}@h/"}, "body.source", id="bare source"),
    pytest.param({"source": {"url": f"rtsp://u:{PASSWORD}@h/" * 99}}, "body.source.url", id="long url"),
    pytest.param({"source": {"url": 5}}, "body.source.url", id="number as a url"),
    pytest.param({"ingest_pool": ""}, "body.ingest_pool", id="empty pool"),
]  # fmt: skip


@ON_SQLITE_ONLY
@pytest.mark.parametrize(("fields", "path"), BAD_CAMERAS)
async def test_a_bad_field_is_named_and_nothing_is_stored(
    stand: Stand, fields: dict[str, Any], path: str
) -> None:
    ana = await stand.owner("ana")
    answer = await ana.post(CAMERAS_URL, json=CAMERA | fields)
    assert (answer.status_code, code_of(answer)) == (422, "invalid-request")
    assert path in [error["path"] for error in answer.json()["errors"]]
    assert PASSWORD not in answer.text
    assert "u:p@" not in answer.text
    assert (await ana.get(CAMERAS_URL)).json()["items"] == []
    camera = await registered(ana)
    answer = await ana.patch(f"{CAMERAS_URL}/{camera['id']}", json=fields, headers={"If-Match": '"1"'})
    assert answer.status_code == 422
    assert len(await stand.states(camera["id"])) == 1


async def test_a_missing_field_is_named(stand: Stand) -> None:
    ana = await stand.owner("ana")
    for field in CAMERA:
        body = {name: value for name, value in CAMERA.items() if name != field}
        answer = await ana.post(CAMERAS_URL, json=body)
        assert answer.json()["errors"][0]["path"] == f"body.{field}"


async def test_the_edges_of_every_range_are_allowed(stand: Stand) -> None:
    ana = await stand.owner("ana")
    for fields in (
        {"bearing_degrees": 0, "field_of_view_degrees": 360, "name": "n" * 80, "jurisdiction": "AR"},
        {"bearing_degrees": 360, "place": {"type": "Point", "coordinates": [-180, 90]}, "jurisdiction": "GB"},
    ):
        camera = await registered(ana, **fields)
        assert camera | fields == camera


async def test_an_unknown_pool_is_refused_with_those_there_are(stand: Stand) -> None:
    ana = await stand.owner("ana")
    answer = await ana.post(CAMERAS_URL, json=CAMERA | {"ingest_pool": "attic"})
    assert (answer.status_code, code_of(answer)) == (422, "unknown-pool")
    assert answer.json()["errors"] == [
        {"path": "body.ingest_pool", "seen": "attic", "allowed": "depot, site"}
    ]


@pytest.mark.parametrize("name", ["BR", "AR-C", "AR-B-1", "US-CA-SF"])
async def test_a_jurisdiction_whose_law_is_not_known_is_refused_with_those_there_are(
    stand: Stand, name: str
) -> None:
    ana = await stand.owner("ana")
    refusal = [{"path": "body.jurisdiction", "seen": name, "allowed": "AR, AR-B, GB"}]
    answer = await ana.post(CAMERAS_URL, json=CAMERA | {"jurisdiction": name})
    assert (answer.status_code, code_of(answer)) == (422, "unknown-jurisdiction")
    assert answer.json()["errors"] == refusal
    assert (await ana.get(CAMERAS_URL)).json()["items"] == []
    camera = await registered(ana)
    url = f"{CAMERAS_URL}/{camera['id']}"
    answer = await ana.patch(url, json={"name": "Door", "jurisdiction": name}, headers={"If-Match": '"1"'})
    assert (answer.status_code, code_of(answer)) == (422, "unknown-jurisdiction")
    assert answer.json()["errors"] == refusal
    assert (await ana.get(url)).json() == camera


async def test_a_camera_stays_where_the_law_was_taken_away_but_none_comes_there(
    make_stand: Callable[..., Stand],
) -> None:
    ana = await make_stand({"BR": None}).owner("ana")
    camera = await registered(ana, jurisdiction="BR")
    url = f"{CAMERAS_URL}/{camera['id']}"
    ana = await make_stand().owner("ana")

    async def change(version: int, **fields: str) -> Any:
        return await ana.patch(url, json=fields, headers={"If-Match": f'"{version}"'})

    renamed = await change(1, name="Back door", jurisdiction="BR")
    assert (renamed.status_code, renamed.json()["jurisdiction"]) == (200, "BR")
    assert (await ana.post(f"{url}/authorisations", json=AUTHORISATION)).status_code == 201
    assert (await ana.post(f"{url}/pause")).status_code == 200
    version = (await ana.get(url)).json()["version"]
    moved = await change(version, jurisdiction="AR")
    assert moved.status_code == 200
    assert code_of(await change(moved.json()["version"], jurisdiction="BR")) == "unknown-jurisdiction"
    assert (await ana.delete(url, headers={"If-Match": f'"{moved.json()["version"]}"'})).status_code == 200


async def test_agencies_and_pools_are_listed_without_what_they_hide(stand: Stand) -> None:
    ana = await stand.owner("ana")
    assert (await ana.get("/registry/v1/agencies")).json() == {
        "items": [
            {"id": "policia-norte", "name": "Policia-Norte", "jurisdiction": "AR-B"},
            {"id": "policia-sur", "name": "Policia-Sur", "jurisdiction": "AR-B"},
        ]
    }
    assert (await ana.get("/registry/v1/pools")).json() == {"items": [{"name": "site"}, {"name": "depot"}]}


async def test_jurisdictions_are_listed_with_those_they_add_to(stand: Stand) -> None:
    ana = await stand.owner("ana")
    assert (await ana.get("/registry/v1/jurisdictions")).json() == {
        "items": [{"id": "AR", "parent": None}, {"id": "AR-B", "parent": "AR"}, {"id": "GB", "parent": None}]
    }
