"""A restored registry's rows, records and audit records, and what its owner can do then."""

from collections import Counter

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.ids import new_id
from feedgate_kit.outbox import Outbox
from feedgate_kit.published import LOST_IN_RESTORE, Published
from feedgate_registry.restoration import restore
from feedgate_registry.tables import OUTBOX

from .conftest import SOURCE, Stand, authorised, code_of, registered

WISH = {"pool": "site", "key_ids": ["site-key-1"]}


async def restored(stand: Stand, *states: camera_pb.CameraState) -> Counter[str]:
    """As after a backup that lacks what these records in the topic say."""
    published = {state.camera_id: Published(state.version, state) for state in states}
    outbox = Outbox(OUTBOX, "registry", stand.clock)
    async with stand.database.begin() as connection:
        return await restore(connection, outbox, published, stand.clock.now_us())


async def later(stand: Stand, camera_id: str, version: int) -> camera_pb.CameraState:
    state = await stand.state(camera_id)
    state.version = version
    return state


async def test_a_withdrawal_is_in_the_record_again_and_the_next_act_comes_after_it(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    kept, withdrawn = [await authorised(ana, camera["id"]) for _ in range(2)]
    state = await later(stand, camera["id"], 7)
    del state.terms[1]
    assert await restored(stand, state) == {"camera.restored": 1, "authorisation.withdrawn": 1}

    staged = await stand.state(camera["id"])
    assert (staged.version, [one.authorisation_id for one in staged.terms]) == (8, [kept["id"]])
    assert (await ana.get(f"/registry/v1/authorisations/{withdrawn['id']}")).json()["state"] == "withdrawn"
    *_, whole, part = await stand.audit_records()
    assert [whole.event, part.event] == ["camera.restored", "authorisation.withdrawn"]
    assert part.authorisation_id == withdrawn["id"]
    for record in (whole, part):
        assert (record.actor.pseudonym, record.actor.role) == ("operations", "system")
        assert (record.owner, record.reason) == (stand.key_of("ana"), LOST_IN_RESTORE)
        assert record.detail["version"] == "8"

    assert await restored(stand, state) == {}
    assert (await ana.post(f"{url}/pause")).json()["version"] == 9
    assert (await stand.state(camera["id"])).version == 9


async def test_what_the_backup_has_already_is_left_alone(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    before = await stand.audit_records()
    assert await restored(stand, await stand.state(camera["id"])) == {}
    assert len(await stand.states(camera["id"])) == 1
    assert await stand.audit_records() == before


async def test_a_replaced_source_is_handed_to_nobody_until_it_is_given_again(stand: Stand) -> None:
    ana, worker = await stand.owner("ana"), await stand.worker()
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    await authorised(ana, camera["id"])
    state = await later(stand, camera["id"], 7)
    state.pool_version = 6
    assert await restored(stand, state) == {"camera.restored": 1, "camera.source_lost": 1}
    assert (await stand.state(camera["id"])).pool_version == 8
    ask = f"/internal/v1/cameras/{camera['id']}/source"
    assert code_of(await worker.post(ask, json=WISH)) == "sealed-to-another-key"
    given = await ana.patch(url, json={"source": {"url": SOURCE}}, headers={"If-Match": '"8"'})
    assert given.status_code == 200
    assert (await worker.post(ask, json=WISH)).status_code == 200


async def test_a_camera_that_only_the_topic_has_is_removed_there(stand: Stand) -> None:
    ana = await stand.owner("ana")
    unknown = await later(stand, (await registered(ana))["id"], 4)
    unknown.camera_id = new_id()
    assert await restored(stand, unknown) == {"camera.removed": 1}
    staged = await stand.state(unknown.camera_id)
    assert (staged.version, staged.removed, staged.owner) == (5, True, stand.key_of("ana"))
    record = (await stand.audit_records())[-1]
    assert (record.event, record.owner, record.camera_id) == (
        "camera.removed",
        stand.key_of("ana"),
        unknown.camera_id,
    )
    assert await restored(stand, unknown) == {}
    assert await restored(stand, staged) == {}
