"""A camera that is not shared with an agency is, to its people, no camera at all."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from feedgate_contracts.camera.v1 import camera_pb2

from .conftest import HOUR_US, ON_SQLITE_ONLY, Stand, bases_at, bases_of, stamp, weekly

REQUESTS_URL = "/access-policy/v1/requests"
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Change = Callable[[Stand, camera_pb2.CameraState], None]


def to_others(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.terms[0].agencies[:] = ["policia-norte"]


def to_others_and_paused(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.sharing = camera_pb2.SHARING_PAUSED


def to_others_for_another_purpose(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.terms[0].purposes[:] = ["missing_person"]


def to_others_in_another_rendition(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.terms[0].renditions[:] = ["masked"]


def to_others_on_sundays(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.terms[0].schedule.CopyFrom(weekly("UTC", (7, 0, 1440)))


def to_others_by_a_broken_schedule(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others_on_sundays(stand, camera)
    camera.terms[0].schedule.time_zone = "Nowhere/Land"


def to_others_far_away(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.place.latitude = -34.7


def to_others_in_another_country(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.jurisdiction = "GB"


def to_others_where_no_law_is_known(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.jurisdiction = "BR"


def to_others_twice(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.terms.append(stand.terms(agencies=["met"], purposes=["missing_person"]))


def to_others_until_now(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_others(stand, camera)
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us() - HOUR_US))


def until_now(stand: Stand, camera: camera_pb2.CameraState) -> None:
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us()))


def to_nobody(stand: Stand, camera: camera_pb2.CameraState) -> None:
    del stand
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]


def removed(stand: Stand, camera: camera_pb2.CameraState) -> None:
    to_nobody(stand, camera)
    camera.removed = True


# What the record of the decision says of it, which the answer must not.
WAYS: dict[Change, list[str]] = {
    to_others: ["agency_not_listed"],
    to_others_and_paused: ["agency_not_listed"],
    to_others_for_another_purpose: ["agency_not_listed", "purpose_mismatch"],
    to_others_in_another_rendition: ["agency_not_listed", "out_of_scope"],
    to_others_on_sundays: ["agency_not_listed", "out_of_schedule"],
    to_others_by_a_broken_schedule: ["policy_error"],
    to_others_far_away: ["agency_not_listed", "out_of_scope"],
    to_others_in_another_country: [
        "agency_not_listed",
        "basis_out_of_jurisdiction",
        "no_disclose_basis",
        "no_acquire_basis",
    ],
    to_others_where_no_law_is_known: [
        "agency_not_listed",
        "unknown_jurisdiction",
        "basis_out_of_jurisdiction",
        "no_disclose_basis",
        "no_acquire_basis",
    ],
    to_others_twice: ["agency_not_listed"],
    to_others_until_now: ["authorisation_inactive", "agency_not_listed"],
    until_now: ["authorisation_inactive"],
    to_nobody: ["authorisation_inactive"],
    removed: ["camera_removed", "authorisation_inactive"],
}


def without_ids(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], str]:
    """Status, headers and body, each id in the body by its first place in it."""
    seen: dict[str, str] = {}
    body = ID.sub(lambda found: seen.setdefault(found[0], f"id {len(seen)}"), answer.text)
    at = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
    headers = sorted((name, ID.sub("id", value)) for name, value in answer.headers.items())
    return answer.status_code, headers, at.sub("at", body)


async def told(stand: Stand, camera: camera_pb2.CameraState, **different: Any) -> list[Any]:
    """Everything that the agency's people are told of a request for this camera."""
    olga = await stand.operator()
    body = await stand.asking(olga, camera, **{"bases": bases_at("AR")} | different)
    refused = await olga.post(REQUESTS_URL, json=body)
    assert refused.status_code in {403, 503}, refused.text
    problem = refused.json()
    readings = [
        f"{REQUESTS_URL}/{problem['request_id']}",
        f"{REQUESTS_URL}/{problem['request_id']}/decisions",
        f"/access-policy/v1/decisions/{problem['decision_id']}",
    ]
    return [without_ids(refused), *[without_ids(await olga.get(url)) for url in readings]]


@pytest.mark.parametrize("change", WAYS)
async def test_it_is_answered_like_one_that_does_not_exist_and_recorded_as_it_is(
    stand: Stand, change: Change
) -> None:
    camera = stand.camera()
    change(stand, camera)
    await stand.says(camera)
    assert await told(stand, camera) == await told(stand, stand.camera())
    of_this, of_none = await stand.audit_records("request.denied")
    assert list(of_this.outcome.reasons) == WAYS[change]
    assert (of_this.owner, of_none.owner) == ("owner-hash", "")
    assert of_none.reason == "camera_unknown"
    made, _ = await stand.decisions("request")
    assert (list(made.reasons), made.camera_id) == (WAYS[change], camera.camera_id)


INCOMPLETE = [{**basis, "evidence": dict(list(basis["evidence"].items())[1:])} for basis in bases_at("AR-B")]


@ON_SQLITE_ONLY
@pytest.mark.parametrize("change", [to_others, to_others_in_another_country, to_nobody])
@pytest.mark.parametrize(
    "different",
    [
        pytest.param({"bases": bases_at("AR-B")}, id="nothing else is wrong"),
        pytest.param({"bases": INCOMPLETE}, id="evidence is missing"),
        pytest.param({"bases": bases_of("AR.25326.5-2-b")}, id="a side is missing"),
        pytest.param({"bases": bases_at("GB")}, id="bases of another country"),
        pytest.param({"purpose": "detect"}, id="a purpose that no owner gave"),
    ],
)
async def test_whatever_else_is_wrong_with_the_request(
    stand: Stand, change: Change, different: dict[str, Any]
) -> None:
    camera = stand.camera()
    change(stand, camera)
    await stand.says(camera)
    assert await told(stand, camera, **different) == await told(stand, stand.camera(), **different)


@ON_SQLITE_ONLY
async def test_also_beside_one_that_is_shared_and_in_either_order(stand: Stand) -> None:
    shared, hidden = stand.camera(), stand.camera()
    to_others_in_another_country(stand, hidden)
    await stand.says(shared, hidden)
    olga = await stand.operator()

    async def answer(*cameras: camera_pb2.CameraState) -> Any:
        body = await stand.asking(olga, *cameras, bases=bases_at("AR-B"))
        return without_ids(await olga.post(REQUESTS_URL, json=body))

    assert await answer(shared, hidden) == await answer(shared, stand.camera())
    assert await answer(hidden, shared) == await answer(stand.camera(), shared)


@ON_SQLITE_ONLY
async def test_also_while_the_copy_of_the_cameras_is_old(stand: Stand) -> None:
    camera = stand.camera()
    to_others(stand, camera)
    await stand.says(camera)
    stand.clock.advance(5)
    answers = await told(stand, camera)
    assert answers == await told(stand, stand.camera())
    assert answers[0][0] == 503


@ON_SQLITE_ONLY
@pytest.mark.parametrize("change", WAYS)
async def test_an_approval_is_answered_likewise(stand: Stand, change: Change) -> None:
    """A camera whose record cannot be read is one that does not exist, as far as this service knows."""
    sara = await stand.supervisor()
    answers = []
    for unreadable in (False, True):
        camera = stand.camera()
        await stand.says(camera)
        request = await stand.requested(await stand.operator(), camera)
        change(stand, camera)
        if unreadable:
            await stand.put(camera.camera_id, b"\xff\xff", 2)
            await stand.beat()
        else:
            await stand.says(camera)
        answers.append(
            [
                without_ids(await stand.approve(request["id"], sara)),
                without_ids(await sara.get(f"{REQUESTS_URL}/{request['id']}/decisions")),
            ]
        )
    assert answers[0] == answers[1]
    of_this, of_none = await stand.decisions("approve")
    paused = ["sharing_paused"] if change is to_others_and_paused else []  # that denies an approval only
    assert list(of_this.reasons) == paused + WAYS[change]
    assert of_none.reasons[0] == "camera_unknown"


@ON_SQLITE_ONLY
async def test_what_is_shared_is_told_of_as_it_is(stand: Stand) -> None:
    camera = stand.camera()
    await stand.says(camera)
    olga = await stand.operator()
    answer = await olga.post(REQUESTS_URL, json=await stand.asking(olga, camera, purpose="detect"))
    assert answer.json()["reasons"] == ["purpose_mismatch"]
