import asyncio
from datetime import datetime
from typing import Any

import pytest

from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.clock import to_us
from feedgate_kit.ids import new_id

from .conftest import HOUR_US, Stand, stamp

REQUESTS_URL = "/access-policy/v1/requests"


async def shared(stand: Stand) -> camera_pb2.CameraState:
    camera = stand.camera()
    await stand.says(camera)
    return camera


async def test_an_approval_gives_one_grant_per_camera(stand: Stand) -> None:
    cameras = [stand.camera(), stand.camera()]
    await stand.says(*cameras)
    request = await stand.requested(await stand.operator(), *cameras)
    answer = await stand.approve(request["id"])
    assert answer.status_code == 200
    approved = answer.json()
    assert approved["state"] == "approved"
    assert approved["settled_by"] == stand.pseudonym("sara")
    assert approved["settled_reasons"] == "The need is shown."
    assert {each["camera_id"] for each in approved["grants"]} == {each.camera_id for each in cameras}
    for grant, camera in zip(approved["grants"], cameras, strict=True):
        [state] = await stand.states(grant["id"])
        now_us = stand.clock.now_us()
        assert state == grant_pb2.GrantState(
            grant_id=grant["id"],
            version=1,
            request_id=request["id"],
            camera_id=camera.camera_id,
            authorisation_id=camera.terms[0].authorisation_id,
            agency="policia-sur",
            operators=[stand.pseudonym("olga")],
            rendition="original",
            conditions=["C-NO-AUDIO", "C-NO-BIO"],
            purpose="investigate",
            basis_codes=["AR.25326.5-2-b", "AR.25326.23-2"],
            opens_at=stamp(now_us),
            not_after=stamp(now_us + HOUR_US),
            phase=grant_pb2.GRANT_PHASE_OPEN,
        )


async def test_the_approval_is_a_decision_of_its_own_audited_for_each_owner(stand: Stand) -> None:
    camera = await shared(stand)
    [grant] = await stand.granted(camera)
    [made] = await stand.decisions("approve")
    assert (made.grant_id, made.requester, made.permitted) == (grant["id"], stand.pseudonym("sara"), True)
    [record] = await stand.audit_records("request.approved")
    assert (record.owner, record.grant_id, record.actor.role) == ("owner-hash", grant["id"], "supervisor")
    assert record.outcome.permitted


async def test_nobody_approves_their_own_request_even_under_both_roles(stand: Stand) -> None:
    camera = await shared(stand)
    olga = await stand.person("olga", "operator", "supervisor")
    request = await stand.requested(olga, camera)
    answer = await stand.approve(request["id"], olga)
    assert answer.status_code == 403
    assert answer.json()["reasons"] == ["self_approval"]
    [made] = await stand.decisions("approve")
    assert (made.permitted, list(made.reasons)) == (False, ["self_approval"])
    [record] = await stand.audit_records("approval.denied")
    assert list(record.outcome.reasons) == ["self_approval"]
    assert (await stand.approve(request["id"])).status_code == 200


async def test_the_same_subject_of_another_issuer_is_another_person_of_another_agency(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    other_olga = await stand.person("olga", "supervisor", agency="policia-norte")
    assert (await stand.approve(request["id"], other_olga)).status_code == 404


async def test_an_operator_does_not_approve(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    for act in ("approve", "refuse"):
        answer = await (await stand.operator("otto")).post(
            f"{REQUESTS_URL}/{request['id']}/{act}", json={"reasons": "I would like to."}
        )
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:feedgate:problem:role-missing"


def withdrawn(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]


def paused(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.sharing = camera_pb2.SHARING_PAUSED


def without_the_agency(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.terms[0].agencies[:] = ["policia-norte"]


def without_the_purpose(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.terms[0].purposes[:] = ["missing_person"]


def at_its_expiry(stand: Stand, camera: camera_pb2.CameraState) -> None:
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us()))


# policia-sur is in AR-B, whose law asks for an order; of a camera it may not know, only that law is told.
NOT_SHARED = ["camera_unknown", "authorisation_inactive", "live_order_missing"]


@pytest.mark.parametrize(
    ("change", "true", "told"),
    [
        (withdrawn, ["authorisation_inactive"], NOT_SHARED),
        (paused, ["sharing_paused"], ["sharing_paused"]),
        (without_the_agency, ["agency_not_listed"], NOT_SHARED),
        (without_the_purpose, ["purpose_mismatch"], ["purpose_mismatch"]),
        (at_its_expiry, ["authorisation_inactive"], NOT_SHARED),
    ],
)
async def test_what_the_owner_changed_since_the_asking_counts(
    stand: Stand, change: Any, true: list[str], told: list[str]
) -> None:
    camera = await shared(stand)
    request = await stand.requested(await stand.operator(), camera)
    change(stand, camera)
    await stand.says(camera)
    answer = await stand.approve(request["id"])
    assert answer.status_code == 403
    assert answer.json()["reasons"] == told
    [record] = await stand.audit_records("approval.denied")
    assert list(record.outcome.reasons) == true
    found = (await (await stand.operator()).get(f"{REQUESTS_URL}/{request['id']}")).json()
    assert (found["state"], found["grants"]) == ("pending_approval", [])


async def test_one_camera_that_is_denied_grants_none(stand: Stand) -> None:
    kept, gone = stand.camera(), stand.camera()
    await stand.says(kept, gone)
    request = await stand.requested(await stand.operator(), kept, gone)
    withdrawn(stand, gone)
    await stand.says(gone)
    problem = (await stand.approve(request["id"])).json()
    assert {each["camera_id"]: each["permitted"] for each in problem["cameras"]} == {
        kept.camera_id: True,
        gone.camera_id: False,
    }
    assert (await (await stand.operator()).get("/access-policy/v1/grants")).json()["items"] == []


async def test_nothing_is_approved_on_old_knowledge(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    stand.clock.advance(4)
    answer = await stand.approve(request["id"])
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["state_not_fresh"]
    [made] = await stand.decisions("approve")
    assert not made.permitted
    await stand.beat()
    assert (await stand.approve(request["id"])).status_code == 200


async def test_an_approval_after_the_window_grants_nothing(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    await stand.later(2 * 3_600)
    answer = await stand.approve(request["id"])
    assert answer.json()["reasons"] == ["grant_expired"]


async def test_a_late_approval_grants_from_then_on(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    await stand.later(1.5 * 3_600)
    [grant] = (await stand.approve(request["id"])).json()["grants"]
    [state] = await stand.states(grant["id"])
    assert state.opens_at.ToMicroseconds() == stand.clock.now_us()
    asked_until = to_us(datetime.fromisoformat(request["window"]["not_after"]))
    assert state.not_after.ToMicroseconds() == asked_until


async def test_the_authorisation_that_lasts_longest_is_taken(stand: Stand) -> None:
    camera = stand.camera()
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us() + HOUR_US // 4))
    longer = stand.terms(expires_at=stamp(stand.clock.now_us() + HOUR_US // 2))
    camera.terms.extend([longer, stand.terms(agencies=["policia-norte"]), stand.terms(purposes=["prevent"])])
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    assert grant["authorisation_id"] == longer.authorisation_id
    [state] = await stand.states(grant["id"])
    assert state.not_after == longer.expires_at


async def test_a_request_is_settled_once(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    assert (await stand.approve(request["id"])).status_code == 200
    sara = await stand.supervisor()
    for act in ("approve", "refuse"):
        answer = await sara.post(f"{REQUESTS_URL}/{request['id']}/{act}", json={"reasons": "Once more."})
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:feedgate:problem:request-not-pending"
    assert len((await sara.get("/access-policy/v1/grants")).json()["items"]) == 1


async def test_of_two_approvals_at_once_one_counts(stand: Stand) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    supervisors = [await stand.supervisor(name) for name in ("sara", "saul", "sven")]
    answers = await asyncio.gather(*(stand.approve(request["id"], each) for each in supervisors))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert len((await (await stand.supervisor()).get("/access-policy/v1/grants")).json()["items"]) == 1


async def test_a_refusal_settles_the_request_without_a_grant(stand: Stand) -> None:
    camera = await shared(stand)
    request = await stand.requested(await stand.operator(), camera)
    sara = await stand.supervisor()
    answer = await sara.post(f"{REQUESTS_URL}/{request['id']}/refuse", json={"reasons": "No need is shown."})
    assert answer.status_code == 200
    refused = answer.json()
    assert (refused["state"], refused["settled_reasons"]) == ("refused", "No need is shown.")
    [record] = await stand.audit_records("request.refused")
    assert (record.owner, record.camera_id, record.reason) == (
        "owner-hash",
        camera.camera_id,
        "refused_by_supervisor",
    )
    assert (await stand.approve(request["id"])).status_code == 409


@pytest.mark.parametrize("reasons", ["", "  ", "ok", "---", "x" * 2_001, 7, None])
async def test_reasons_are_needed_to_approve_and_to_refuse(stand: Stand, reasons: object) -> None:
    request = await stand.requested(await stand.operator(), await shared(stand))
    sara = await stand.supervisor()
    for act in ("approve", "refuse"):
        answer = await sara.post(f"{REQUESTS_URL}/{request['id']}/{act}", json={"reasons": reasons})
        assert answer.status_code == 422


async def test_an_unknown_request_is_not_found(stand: Stand) -> None:
    assert (await stand.approve(new_id())).status_code == 404


async def test_cameras_of_a_new_grant_are_reviewed(stand: Stand) -> None:
    """What an owner did between the decision and its commit was reviewed before the grant was there."""
    camera = await shared(stand)
    await stand.review()
    [grant] = await stand.granted(camera)
    # The change arrives, and its review runs, while the grant cannot be seen yet.
    withdrawn(stand, camera)
    reviews = stand.parts.reviews
    waiting = set(reviews._waiting)
    await stand.says(camera)
    reviews._waiting.clear()
    reviews.ask_for(waiting)
    await stand.review()
    assert (await stand.grant(grant["id"]))["closed_reason"] == "authorisation_withdrawn"
