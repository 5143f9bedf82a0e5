import base64
from typing import Any

import pytest

from feedgate_contracts.audit.v1.audit_pb2 import OPERATION_COLLECTION
from feedgate_kit.addresses import parse_rtsp_url
from feedgate_kit.ids import new_id
from feedgate_kit.sealing import SealingError, open_sealed

from .conftest import DEPOT_KEY, SITE_KEY, SOURCE, Stand, authorised, code_of, registered

WISH = {"pool": "site", "key_ids": ["site-key-1"]}


def url_of(camera: dict[str, Any]) -> str:
    return f"/internal/v1/cameras/{camera['id']}/source"


async def test_ingest_gets_a_source_that_only_its_pool_can_open(stand: Stand) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    answer = await worker.post(url_of(camera), json=WISH)
    assert answer.status_code == 200
    handed = answer.json()
    sealed = base64.b64decode(handed.pop("sealed"))
    assert handed == {
        "camera_id": camera["id"],
        "version": 1,
        "key_id": "site-key-1",
        "pool": "site",
        "allowed_networks": [],
    }
    opened = open_sealed(SITE_KEY, sealed, camera["id"], 1, "site-key-1").decode()
    assert parse_rtsp_url(opened) == parse_rtsp_url(SOURCE)
    with pytest.raises(SealingError):
        open_sealed(DEPOT_KEY, sealed, camera["id"], 1, "site-key-1")
    record = (await stand.audit_records())[-1]
    assert (record.event, record.operation) == ("source.released", OPERATION_COLLECTION)
    assert (record.actor.role, record.actor.pseudonym) == ("ingest", "ingest-1")
    assert (record.owner, record.camera_id) == (stand.key_of("ana"), camera["id"])


async def test_credentials_beside_the_url_are_sealed_into_it(stand: Stand) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    password = "päss/w@rd:1"
    source = {"url": "rtsp://192.168.7.9:8554/live?channel=1", "username": "admin", "password": password}
    camera = await registered(ana, source=source, ingest_pool="depot")
    await authorised(ana, camera["id"])
    handed = (await worker.post(url_of(camera), json={"pool": "depot", "key_ids": ["depot-key-1"]})).json()
    assert handed["allowed_networks"] == ["192.168.7.0/24"]
    sealed = base64.b64decode(handed["sealed"])
    opened = parse_rtsp_url(open_sealed(DEPOT_KEY, sealed, camera["id"], 1, "depot-key-1").decode())
    assert (opened.host, opened.port, opened.target) == ("192.168.7.9", 8554, "/live?channel=1")
    assert (opened.username, opened.password) == ("admin", password)


async def test_a_new_source_has_a_new_version_in_its_seal(stand: Stand) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    old = (await worker.post(url_of(camera), json=WISH)).json()
    await ana.patch(
        f"/registry/v1/cameras/{camera['id']}",
        json={"source": {"url": "rtsp://8.8.4.4/new"}},
        headers={"If-Match": '"2"'},
    )
    new = (await worker.post(url_of(camera), json=WISH)).json()
    assert new["version"] == 2
    sealed = base64.b64decode(new["sealed"])
    assert open_sealed(SITE_KEY, sealed, camera["id"], 2, "site-key-1") == b"rtsp://8.8.4.4/new"
    with pytest.raises(SealingError):
        open_sealed(SITE_KEY, base64.b64decode(old["sealed"]), camera["id"], 2, "site-key-1")


async def test_a_source_is_withheld_unless_its_owner_shares_it_now(stand: Stand) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"

    async def refused_as() -> str | None:
        answer = await worker.post(url_of(camera), json=WISH)
        return None if answer.status_code == 200 else code_of(answer)

    assert await refused_as() == "sharing-not-on"
    given = await authorised(ana, camera["id"], expires_at=stand.clock.text(seconds=100))
    assert await refused_as() is None
    await ana.post(f"{url}/pause")
    assert await refused_as() == "sharing-not-on"
    await ana.post(f"{url}/resume")
    assert await refused_as() is None
    stand.clock.advance(100)
    assert await refused_as() == "sharing-not-on"
    given = await authorised(ana, camera["id"])
    assert await refused_as() is None
    await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    assert await refused_as() == "sharing-not-on"
    version = (await ana.get(url)).json()["version"]
    await ana.delete(url, headers={"If-Match": f'"{version}"'})
    assert await refused_as() == "not-found"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        pytest.param({"pool": "depot", "key_ids": ["depot-key-1"]}, "another-pool", id="another pool"),
        pytest.param({"pool": "attic", "key_ids": ["site-key-1"]}, "another-pool", id="unknown pool"),
        pytest.param({"pool": "site", "key_ids": ["site-key-2"]}, "sealed-to-another-key", id="another key"),
    ],
)
async def test_a_source_goes_to_no_other_pool_or_key(stand: Stand, wish: dict[str, str], code: str) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    before = await stand.audit_records()
    answer = await worker.post(url_of(camera), json=wish)
    assert (answer.status_code, code_of(answer)) == (409, code)
    assert await stand.audit_records() == before


async def test_only_ingest_may_ask(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    relay = await stand.worker("relay")
    assert (await relay.post(url_of(camera), json=WISH)).status_code == 403
    nobody = await stand.nobody(internal=True)
    assert (await nobody.post(url_of(camera), json=WISH)).status_code == 401
    owner = {"Authorization": f"Bearer {stand.owners.mint('ana', ['ingest'])}"}
    assert (await nobody.post(url_of(camera), json=WISH, headers=owner)).status_code == 403


async def test_the_public_port_has_no_such_route(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    assert (await ana.post(url_of(camera), json=WISH)).status_code == 404


async def test_a_camera_that_is_not_there_has_no_source(stand: Stand) -> None:
    worker = await stand.worker()
    answer = await worker.post(f"/internal/v1/cameras/{new_id()}/source", json=WISH)
    assert (answer.status_code, code_of(answer)) == (404, "not-found")
