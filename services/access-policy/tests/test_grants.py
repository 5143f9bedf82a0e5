import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from feedgate_access_policy.adapters.grants import MOST_IN_A_QUERY
from feedgate_access_policy.app import assemble
from feedgate_access_policy.grant_desk import GrantDesk, Reviewed
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.ticket import TicketKeys
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.errors import BusError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.ids import new_id
from feedgate_kit.outbox import Outbox
from tests.servers.no_room import no_room

from .conftest import AGENCIES, HOUR_US, Stand, stamp, weekly

GRANTS_URL = "/access-policy/v1/grants"


async def granted(stand: Stand, **different: Any) -> tuple[camera_pb2.CameraState, str]:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera, **different)
    await stand.review()
    return camera, str(grant["id"])


def withdraw(camera: camera_pb2.CameraState) -> None:
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]


def remove(camera: camera_pb2.CameraState) -> None:
    withdraw(camera)
    camera.removed = True


def drop_agency(camera: camera_pb2.CameraState) -> None:
    camera.terms[0].agencies[:] = ["policia-norte"]


def drop_purpose(camera: camera_pb2.CameraState) -> None:
    camera.terms[0].purposes[:] = ["prevent"]


def drop_rendition(camera: camera_pb2.CameraState) -> None:
    camera.terms[0].renditions[:] = ["stills"]


def replace_authorisation(camera: camera_pb2.CameraState) -> None:
    camera.terms[0].authorisation_id = new_id()


def close_hours(camera: camera_pb2.CameraState) -> None:
    camera.terms[0].schedule.CopyFrom(weekly("UTC", (7, 0, 1_440)))


def move_abroad(camera: camera_pb2.CameraState) -> None:
    camera.jurisdiction = "GB"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (withdraw, "authorisation_withdrawn"),
        (replace_authorisation, "authorisation_withdrawn"),
        (remove, "camera_removed"),
        (drop_agency, "agency_not_listed"),
        (drop_purpose, "purpose_mismatch"),
        (drop_rendition, "out_of_scope"),
        (close_hours, "out_of_schedule"),
        (move_abroad, "basis_out_of_jurisdiction"),
    ],
)
async def test_what_would_now_be_refused_is_closed_with_the_reason(
    stand: Stand, change: Callable[[camera_pb2.CameraState], None], reason: str
) -> None:
    camera, grant_id = await granted(stand)
    change(camera)
    await stand.says(camera)
    await stand.review()
    grant = await stand.grant(grant_id)
    assert (grant["phase"], grant["closed_reason"], grant["version"]) == ("closed", reason, 2)
    assert grant["closed_at"] == stand.text()
    first, second = await stand.states(grant_id)
    assert first.phase == grant_pb2.GRANT_PHASE_OPEN
    assert (second.version, second.phase) == (2, grant_pb2.GRANT_PHASE_CLOSED)
    assert second.closed_reason == reason
    [held] = await stand.decisions("hold")
    assert (held.grant_id, held.permitted, held.reasons[0]) == (grant_id, False, reason)
    [record] = await stand.audit_records("grant.closed")
    assert (record.grant_id, record.reason, record.owner) == (grant_id, reason, "owner-hash")
    assert record.actor.role == "system"


async def test_a_change_that_refuses_nothing_changes_nothing(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    camera.sharing = camera_pb2.SHARING_PAUSED
    camera.terms[0].purposes.append("prevent")
    await stand.says(camera)
    await stand.review()
    assert (await stand.grant(grant_id))["version"] == 1
    assert await stand.decisions("hold") == []


async def test_an_earlier_expiry_tightens_the_grant_and_a_later_one_widens_nothing(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    earlier = stamp(stand.clock.now_us() + HOUR_US // 2)
    camera.terms[0].expires_at.CopyFrom(earlier)
    await stand.says(camera)
    await stand.review()
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us() + 10 * HOUR_US))
    await stand.says(camera)
    await stand.review()
    states = await stand.states(grant_id)
    assert [state.version for state in states] == [1, 2]
    assert states[1].not_after == earlier
    assert states[1].phase == grant_pb2.GRANT_PHASE_OPEN
    assert len(await stand.audit_records("grant.tightened")) == 1


async def test_closing_is_done_once_and_for_ever(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    terms = camera_pb2.Terms.FromString(camera.terms[0].SerializeToString())
    withdraw(camera)
    await stand.says(camera)
    for _ in range(2):
        stand.parts.reviews.ask_for({camera.camera_id})
        await stand.review()
    # Even the very same authorisation, should it ever come back.
    camera.sharing = camera_pb2.SHARING_ON
    camera.terms.append(terms)
    await stand.says(camera)
    await stand.review()
    assert (await stand.grant(grant_id))["phase"] == "closed"
    assert len(await stand.states(grant_id)) == 2
    assert (await stand.ticket(grant_id)).json()["reasons"] == ["authorisation_withdrawn"]


@asynccontextmanager
async def another_process(stand: Stand, settings: AccessPolicySettings) -> AsyncIterator[Stand]:
    """The same service beside it: the same database, and a camera topic that reaches it later."""
    bus = EmbeddedBus(None, stand.clock)
    await bus.start()
    verifier = TokenVerifier([issuer.config() for issuer in stand.issuers.values()], stand.clock)
    ports = AccessPolicyPorts(
        bus=bus,
        database=stand.database,
        verifier=verifier,
        agencies=AGENCIES,
        ticket_keys=TicketKeys([stand.ticket_key]),
        clock=stand.clock,
    )
    parts = assemble(settings, ports)
    follower = asyncio.create_task(parts.cameras.follow(parts.reviews.ask_for))
    try:
        yield replace(stand, parts=parts, bus=bus, versions={})
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        await bus.close()


def shares(stand: Stand, camera: camera_pb2.CameraState) -> bool:
    """Whether the camera shares with anybody, as far as this process has read."""
    known = stand.parts.cameras.get(camera.camera_id)
    return known is not None and bool(known.terms)


async def test_a_process_that_has_not_read_the_authorisation_closes_no_grant_that_rests_on_it(
    stand: Stand, settings: AccessPolicySettings
) -> None:
    camera = stand.camera()
    async with another_process(stand, settings) as behind:
        unshared = camera_pb2.CameraState.FromString(camera.SerializeToString())
        withdraw(unshared)
        await behind.says(unshared)
        stand.clock.advance(1)
        await stand.says(unshared, camera)
        [grant] = await stand.granted(camera)
        behind.parts.reviews.ask_for({camera.camera_id})
        await behind.review()
        assert (await stand.grant(grant["id"]))["phase"] == "open"
        await behind.says(camera)
        await behind.review()
        assert (await stand.grant(grant["id"]))["phase"] == "open"
        assert len(await stand.states(grant["id"])) == 1


async def test_a_withdrawal_read_before_its_topic_was_read_past_the_grant_closes_it_then(
    stand: Stand, settings: AccessPolicySettings
) -> None:
    camera = stand.camera()
    async with another_process(stand, settings) as behind:
        await behind.says(camera)
        stand.clock.advance(1)
        await stand.says(camera)
        [grant] = await stand.granted(camera)
        withdraw(camera)
        await behind.put(camera.camera_id, camera.SerializeToString(), 2)
        async with asyncio.timeout(10):
            while shares(behind, camera):  # noqa: ASYNC110 - lets the follower run
                await asyncio.sleep(0)
        await behind.review()
        assert (await stand.grant(grant["id"]))["phase"] == "open"
        await behind.beat()
        await behind.review()
        assert (await stand.grant(grant["id"]))["closed_reason"] == "authorisation_withdrawn"


async def test_every_agencys_grant_of_the_camera_is_closed_and_no_other_cameras(stand: Stand) -> None:
    camera = stand.camera()
    camera.terms[0].agencies.append("policia-norte")
    await stand.says(camera)
    [mine] = await stand.granted(camera)
    nora = await stand.person("nora", "operator", agency="policia-norte")
    request = await stand.requested(nora, camera)
    neil = await stand.person("neil", "supervisor", agency="policia-norte")
    [theirs] = (await stand.approve(request["id"], neil)).json()["grants"]
    _, other = await granted(stand)
    withdraw(camera)
    await stand.says(camera)
    await stand.review()
    for grant_id, versions in ((mine["id"], 2), (theirs["id"], 2), (other, 1)):
        assert len(await stand.states(grant_id)) == versions


@pytest.mark.parametrize("others", [3, MOST_IN_A_QUERY])
async def test_of_the_cameras_that_changed_only_those_with_open_grants_are_looked_at(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    camera, grant_id = await granted(stand)
    await granted(stand)  # of a camera that did not change
    reviewed: list[str] = []
    review = GrantDesk.review

    async def noted(desk: GrantDesk, camera_id: str) -> Reviewed:
        reviewed.append(camera_id)
        return await review(desk, camera_id)

    monkeypatch.setattr(GrantDesk, "review", noted)
    withdraw(camera)
    await stand.says(camera)
    stand.parts.reviews.ask_for([new_id() for _ in range(others)])
    await stand.review()
    assert reviewed == [camera.camera_id]
    assert (await stand.grant(grant_id))["phase"] == "closed"


async def test_state_decision_and_audit_record_of_a_closing_are_one_transaction(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, grant_id = await granted(stand)
    withdraw(camera)
    await stand.says(camera)

    async def fail(*_: Any, **__: Any) -> None:
        raise BusError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "stage_state", fail)
        with pytest.raises(BusError):
            await stand.review()
    assert (await stand.grant(grant_id))["phase"] == "open"
    assert await stand.decisions("hold") == []
    assert await stand.audit_records("grant.closed") == []


async def test_an_operator_ends_their_grant_early_and_once(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    olga = await stand.operator()
    answer = await olga.post(f"{GRANTS_URL}/{grant_id}/end", json={"reason": "The persons were found."})
    assert answer.status_code == 200
    assert (answer.json()["phase"], answer.json()["closed_reason"]) == ("closed", "ended_by_operator")
    again = await olga.post(f"{GRANTS_URL}/{grant_id}/end")
    assert again.json() == answer.json()
    assert [state.version for state in await stand.states(grant_id)] == [1, 2]
    [record] = await stand.audit_records("grant.closed")
    assert (record.reason, record.detail["words"]) == ("ended_by_operator", "The persons were found.")
    assert (await stand.ticket(grant_id)).json()["reasons"] == ["ended_by_operator"]


async def test_an_end_that_the_database_does_not_take_is_owed_until_it_does(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    olga = await stand.operator()
    async with no_room(stand.database, "outbox_state"):
        answer = await olga.post(f"{GRANTS_URL}/{grant_id}/end")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:feedgate:problem:stop-owed")
        assert stand.parts.service.registry.get_sample_value("access_policy_stops_owed") == 1
    assert (await olga.post(f"{GRANTS_URL}/{grant_id}/end")).status_code == 200
    assert stand.parts.service.registry.get_sample_value("access_policy_stops_owed") == 0


async def test_a_supervisor_ends_any_grant_of_the_agency(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    answer = await (await stand.supervisor("saul")).post(f"{GRANTS_URL}/{grant_id}/end")
    assert answer.json()["closed_reason"] == "ended_by_supervisor"


async def test_another_operator_ends_nothing(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    answer = await (await stand.operator("otto")).post(f"{GRANTS_URL}/{grant_id}/end")
    assert answer.status_code == 403
    assert answer.json()["reasons"] == ["operator_not_named"]
    assert (await stand.grant(grant_id))["phase"] == "open"


async def test_a_grant_ends_while_nothing_is_known_of_the_cameras(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    stand.clock.advance(60)
    answer = await (await stand.operator()).post(f"{GRANTS_URL}/{grant_id}/end")
    assert answer.json()["phase"] == "closed"


async def test_time_closes_grants_and_settles_requests_on_record(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    waiting = await stand.requested(await stand.operator(), camera)
    await stand.later(3_600 - 1)
    await stand.parts.upkeep.turn()
    assert (await stand.grant(grant_id))["phase"] == "open"
    await stand.later(3_601)
    await stand.parts.upkeep.turn()
    await stand.parts.upkeep.turn()
    assert (await stand.grant(grant_id))["closed_reason"] == "grant_expired"
    assert len(await stand.states(grant_id)) == 2
    olga = await stand.operator()
    request = (await olga.get(f"/access-policy/v1/requests/{waiting['id']}")).json()
    assert (request["state"], request["settled_by"]) == ("expired", None)
    [closed] = await stand.audit_records("grant.closed")
    assert (closed.reason, closed.actor.role) == ("grant_expired", "system")
    assert len(await stand.audit_records("request.expired")) == 1


async def test_a_clock_that_no_heartbeat_agrees_with_ends_nothing_for_good(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    waiting = await stand.requested(await stand.operator(), camera)
    stand.clock.advance(3_601)  # an hour ahead of registry's, whose heartbeat says so
    await stand.parts.upkeep.turn()
    stand.parts.reviews.ask_for({camera.camera_id})
    await stand.review()
    assert (await stand.grant(grant_id))["phase"] == "open"
    request = await (await stand.operator()).get(f"/access-policy/v1/requests/{waiting['id']}")
    assert request.json()["state"] == "pending_approval"
    await stand.beat()  # registry's clock says the same: the time is over
    await stand.parts.upkeep.turn()
    assert (await stand.grant(grant_id))["closed_reason"] == "grant_expired"


async def test_grants_are_listed_newest_first_by_phase_and_camera(stand: Stand) -> None:
    camera, first = await granted(stand)
    _, second = await granted(stand)
    olga = await stand.operator()
    await olga.post(f"{GRANTS_URL}/{first}/end")

    async def listed(**query: str | int) -> list[str]:
        answer = await olga.get(GRANTS_URL, params=query)
        assert answer.status_code == 200
        return [grant["id"] for grant in answer.json()["items"]]

    assert await listed() == [second, first]
    assert await listed(phase="open") == [second]
    assert await listed(phase="closed") == [first]
    assert await listed(camera_id=camera.camera_id) == [first]
    assert await listed(limit=1) == [second]
    assert await listed(after=second) == [first]
    assert (await olga.get(GRANTS_URL, params={"phase": "half"})).status_code == 422
    for limit, following in ((1, second), (2, None)):
        assert (await olga.get(GRANTS_URL, params={"limit": limit})).json()["next"] == following
