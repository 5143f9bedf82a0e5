import jwt
import pytest

from feedgate_access_policy.ticket import TicketKeys
from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit.ids import new_id

from .conftest import HOUR_US, Stand, stamp


async def granted(stand: Stand) -> tuple[camera_pb2.CameraState, str]:
    camera = stand.camera()
    await stand.says(camera)
    [grant] = await stand.granted(camera)
    await stand.review()
    return camera, str(grant["id"])


async def test_a_ticket_says_what_it_opens_for_whom_and_until_when(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    answer = await stand.ticket(grant_id)
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"ticket", "expires_at", "view_until", "stream", "notices_url"}
    assert body["stream"] == f"{camera.camera_id}/original"
    assert body["notices_url"] == "/relay/v1/notices"
    [key] = (await (await stand.relay()).get("/internal/v1/ticket-keys")).json()["keys"]
    assert key == TicketKeys([stand.ticket_key]).jwks()["keys"][0]
    claims = jwt.decode(
        body["ticket"],
        jwt.PyJWK.from_dict(key),
        algorithms=["EdDSA"],
        audience="feedgate-relay",
        issuer="feedgate-access-policy",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert jwt.get_unverified_header(body["ticket"])["kid"] == key["kid"]
    now_us = stand.clock.now_us()
    assert claims["sub"] == stand.pseudonym("olga")
    assert (claims["agency"], claims["grant"], claims["camera"]) == (
        "policia-sur",
        grant_id,
        camera.camera_id,
    )
    assert (claims["stream"], claims["purpose"]) == (body["stream"], "investigate")
    assert claims["exp"] == claims["iat"] + 60 == now_us // 1_000_000 + 60
    assert (claims["issued_at_us"], claims["view_until_us"]) == (now_us, now_us + HOUR_US)
    [record] = await stand.audit_records("ticket.issued")
    assert record.detail["ticket_id"] == claims["jti"]
    assert (record.owner, record.grant_id) == ("owner-hash", grant_id)
    [made] = await stand.decisions("ticket")
    assert (made.grant_id, made.permitted) == (grant_id, True)
    assert body["ticket"].encode() not in record.SerializeToString() + made.SerializeToString()


async def test_no_two_tickets_are_one(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    tickets = [(await stand.ticket(grant_id)).json()["ticket"] for _ in range(2)]
    ids = {jwt.decode(ticket, options={"verify_signature": False})["jti"] for ticket in tickets}
    assert len(ids) == 2


def view_until_us(answer: dict[str, str]) -> int:
    until: int = jwt.decode(answer["ticket"], options={"verify_signature": False})["view_until_us"]
    return until


async def test_a_view_ends_no_later_than_the_token_presented(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    olga = await stand.person("olga", "operator", lifetime_s=300)
    answer = (await stand.ticket(grant_id, olga)).json()
    assert view_until_us(answer) == stand.clock.now_us() // 1_000_000 * 1_000_000 + 300_000_000


async def test_a_view_ends_no_later_than_the_grant(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    ends_us = stand.clock.now_us() + HOUR_US
    await stand.later(3_000)
    assert view_until_us((await stand.ticket(grant_id)).json()) == ends_us


async def test_a_view_ends_no_later_than_the_authorisation(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    camera.terms[0].expires_at.CopyFrom(stamp(stand.clock.now_us() + HOUR_US // 3))
    await stand.says(camera)
    assert view_until_us((await stand.ticket(grant_id)).json()) == camera.terms[0].expires_at.ToMicroseconds()


async def test_a_ticket_is_only_for_the_operator_the_grant_names(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    answer = await stand.ticket(grant_id, await stand.operator("otto"))
    assert answer.status_code == 403
    assert answer.json()["reasons"] == ["operator_not_named"]
    [record] = await stand.audit_records("ticket.refused")
    assert (record.actor.pseudonym, record.reason) == (stand.pseudonym("otto"), "operator_not_named")
    supervisor = await stand.ticket(grant_id, await stand.supervisor())
    assert supervisor.json()["type"] == "urn:feedgate:problem:role-missing"


async def test_another_agencys_grant_does_not_exist(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    nora = await stand.person("olga", "operator", "supervisor", agency="policia-norte")
    assert (await stand.ticket(grant_id, nora)).status_code == 404
    assert (await nora.get(f"/access-policy/v1/grants/{grant_id}")).status_code == 404
    assert (await nora.post(f"/access-policy/v1/grants/{grant_id}/end")).status_code == 404
    assert (await nora.get("/access-policy/v1/grants")).json()["items"] == []
    assert (await stand.ticket(new_id())).status_code == 404


@pytest.mark.parametrize("reviewed", [False, True], ids=["before the grant is closed", "after"])
async def test_a_withdrawal_refuses_the_next_ticket_with_its_reason(stand: Stand, *, reviewed: bool) -> None:
    camera, grant_id = await granted(stand)
    camera.sharing = camera_pb2.SHARING_STOPPED
    del camera.terms[:]
    await stand.says(camera)
    if reviewed:
        await stand.review()
    answer = await stand.ticket(grant_id)
    assert answer.status_code == 403
    problem = answer.json()
    assert problem["type"] == "urn:feedgate:problem:access-denied"
    assert problem["reasons"] == ["authorisation_withdrawn"]
    decision = await (await stand.operator()).get(f"/access-policy/v1/decisions/{problem['decision_id']}")
    assert (decision.json()["action"], decision.json()["grant_id"]) == ("ticket", grant_id)


async def test_a_new_authorisation_does_not_bring_an_old_grant_back(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    camera.terms[0].authorisation_id = new_id()
    await stand.says(camera)
    assert (await stand.ticket(grant_id)).json()["reasons"] == ["authorisation_withdrawn"]


async def test_a_paused_camera_gives_tickets_that_show_nothing_yet(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    camera.sharing = camera_pb2.SHARING_PAUSED
    await stand.says(camera)
    assert (await stand.ticket(grant_id)).status_code == 201


async def test_no_ticket_is_given_on_old_knowledge(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    stand.clock.advance(4)
    answer = await stand.ticket(grant_id)
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["state_not_fresh"]
    [record] = await stand.audit_records("ticket.refused")
    assert record.reason == "state_not_fresh"


async def test_an_unreadable_record_refuses_tickets_but_closes_nothing(stand: Stand) -> None:
    camera, grant_id = await granted(stand)
    await stand.put(camera.camera_id, b"\xff\xff", 2)
    await stand.beat()
    await stand.review()
    assert (await stand.ticket(grant_id)).json()["reasons"][0] == "camera_unknown"
    assert (await stand.grant(grant_id))["phase"] == "open"
    stand.versions[camera.camera_id] = 2
    await stand.says(camera)
    assert (await stand.ticket(grant_id)).status_code == 201


async def test_a_grant_that_is_over_opens_nothing(stand: Stand) -> None:
    _, grant_id = await granted(stand)
    await stand.later(3_600)
    assert (await stand.ticket(grant_id)).json()["reasons"] == ["grant_expired"]


async def test_ticket_keys_are_not_on_the_public_port(stand: Stand) -> None:
    for somebody in (await stand.operator(), await stand.relay(internal=False)):
        assert (await somebody.get("/internal/v1/ticket-keys")).status_code == 404
