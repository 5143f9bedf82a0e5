import asyncio

import pytest
from sqlalchemy import select

from feedgate_contracts.audit.v1.audit_pb2 import OPERATION_CONSENT
from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER
from feedgate_kit.errors import BusError
from feedgate_registry.tables import OWNERS
from tests.servers.no_room import no_room

from .conftest import AUTHORISATION, Stand, authorised, code_of, registered


async def test_withdrawal_ends_an_authorisation_for_ever_and_says_by_when_it_is_dark(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    other = await authorised(ana, camera["id"])
    stand.clock.advance(60)
    stopped_at = stand.clock.text()
    answer = await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    assert answer.status_code == 200
    assert answer.json() == {
        "authorisation": given | {"state": "withdrawn", "version": 2, "ended_at": stopped_at},
        "stopped_at": stopped_at,
        "dark_no_later_than": stand.clock.text(seconds=5),
    }
    state = await stand.state(camera["id"])
    assert [terms.authorisation_id for terms in state.terms] == [other["id"]]
    assert (state.version, state.sharing) == (4, camera_pb.SHARING_ON)
    record = (await stand.audit_records())[-1]
    assert (record.event, record.operation) == ("authorisation.withdrawn", OPERATION_CONSENT)
    assert (record.owner, record.actor.role) == (stand.key_of("ana"), "owner")
    assert (record.camera_id, record.authorisation_id) == (camera["id"], given["id"])
    assert record.occurred_at.ToMicroseconds() == stand.clock.now_us()


async def test_withdrawing_the_last_authorisation_stops_sharing(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    assert (await stand.state(camera["id"])).sharing == camera_pb.SHARING_STOPPED
    assert (await ana.get(f"/registry/v1/cameras/{camera['id']}")).json()["sharing"] == "stopped"


async def test_a_second_withdrawal_answers_with_the_first_ones_times(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    url = f"/registry/v1/authorisations/{given['id']}/withdraw"
    first = await ana.post(url)
    stand.clock.advance(60)
    assert (await ana.post(url)).json() == first.json()
    assert len(await stand.states(camera["id"])) == 3


async def test_withdrawals_at_once_make_one_version_and_one_answer(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    url = f"/registry/v1/authorisations/{given['id']}/withdraw"
    answers = await asyncio.gather(*(ana.post(url) for _ in range(4)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert [state.version for state in await stand.states(camera["id"])] == [1, 2, 3]


async def test_withdrawing_what_expired_tells_when_it_ended(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    expires_at = stand.clock.text(seconds=10)
    given = await authorised(ana, camera["id"], expires_at=expires_at)
    stand.clock.advance(60)
    answer = await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    assert (answer.json()["authorisation"]["state"], answer.json()["stopped_at"]) == ("expired", expires_at)


async def test_a_pause_stops_and_a_resume_opens_only_what_comes_after(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    url = f"/registry/v1/cameras/{camera['id']}"
    made_us = stand.clock.now_us()
    stand.clock.advance(60)
    paused = await ana.post(f"{url}/pause")
    assert paused.status_code == 200
    assert paused.headers["ETag"] == '"3"'
    assert paused.json()["sharing"] == "paused"
    assert paused.json()["stopped_at"] == stand.clock.text()
    assert paused.json()["dark_no_later_than"] == stand.clock.text(seconds=5)
    state = await stand.state(camera["id"])
    assert (state.version, state.sharing, len(state.terms)) == (3, camera_pb.SHARING_PAUSED, 1)
    assert state.resumed_at.ToMicroseconds() == made_us
    stand.clock.advance(60)
    resumed = await ana.post(f"{url}/resume")
    assert (resumed.json()["sharing"], resumed.json()["version"]) == ("on", 4)
    state = await stand.state(camera["id"])
    assert (state.version, state.sharing) == (4, camera_pb.SHARING_ON)
    assert state.resumed_at.ToMicroseconds() == stand.clock.now_us()
    assert [record.event for record in await stand.audit_records()][-2:] == [
        "camera.paused",
        "camera.resumed",
    ]


async def test_a_second_pause_answers_with_the_first_ones_times(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    first = (await ana.post(f"{url}/pause")).json()
    stand.clock.advance(60)
    assert (await ana.post(f"{url}/pause")).json() == first
    assert len(await stand.states(camera["id"])) == 2
    await ana.post(f"{url}/resume")
    again = await ana.post(f"{url}/resume")
    assert again.json()["version"] == 3
    stand.clock.advance(60)
    assert (await ana.post(f"{url}/pause")).json()["stopped_at"] == stand.clock.text()


async def test_a_pause_outlasts_the_authorisations_it_paused(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    assert (await ana.post(f"{url}/pause")).json()["sharing"] == "stopped"
    await authorised(ana, camera["id"])
    assert (await stand.state(camera["id"])).sharing == camera_pb.SHARING_PAUSED


async def test_stopping_works_while_the_bus_and_the_name_server_are_away(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])

    def away(*_: object) -> None:
        raise BusError("the bus is away")

    monkeypatch.setattr(stand.bus, "state_log", away)
    monkeypatch.setattr(stand.bus, "event_log", away)
    stand.resolver.names.clear()
    async with stand.service.lifespan():
        withdrawn = await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
        paused = await ana.post(f"/registry/v1/cameras/{camera['id']}/pause")
    assert [withdrawn.status_code, paused.status_code] == [200, 200]
    assert not (await stand.state(camera["id"])).terms


async def test_every_version_of_a_camera_is_staged_once_with_the_act_that_made_it(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    url = f"/registry/v1/cameras/{camera['id']}"
    given = await authorised(ana, camera["id"])
    await ana.post(f"{url}/pause")
    await ana.post(f"{url}/resume")
    await ana.patch(
        f"/registry/v1/authorisations/{given['id']}",
        json={"purposes": ["investigate"]},
        headers={"If-Match": '"1"'},
    )
    await ana.patch(url, json={"bearing_degrees": 10}, headers={"If-Match": '"5"'})
    await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
    await ana.delete(url, headers={"If-Match": '"7"'})
    assert [state.version for state in await stand.states(camera["id"])] == list(range(1, 9))
    told = [record for record in await stand.audit_records() if record.camera_id]
    assert [record.event for record in told] == [
        "camera.registered",
        "authorisation.given",
        "camera.paused",
        "camera.resumed",
        "authorisation.narrowed",
        "camera.changed",
        "authorisation.withdrawn",
        "camera.removed",
    ]
    assert [record.detail["version"] for record in told] == [str(version) for version in range(1, 9)]
    assert len({record.record_id for record in told}) == 8


async def test_a_refused_act_leaves_no_trace(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    before = (await stand.states(camera["id"]), await stand.audit_records())
    for method, path, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/authorisations", {"agencies": ["interpol"], "purposes": ["detect"]}),
    ):
        answer = await ana.request(method, f"/registry/v1/cameras/{camera['id']}{path}", json=body)
        assert answer.status_code >= 400
        assert code_of(answer)
    assert (await stand.states(camera["id"]), await stand.audit_records()) == before


async def test_a_stop_that_the_database_does_not_take_comes_before_anything_is_vouched_for_again(
    stand: Stand,
) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    given = await authorised(ana, camera["id"])
    async with stand.service.lifespan():
        await stand.published()
        async with no_room(stand.database, "outbox_state"):
            answer = await ana.post(f"/registry/v1/authorisations/{given['id']}/withdraw")
            assert (answer.status_code, code_of(answer)) == (503, "stop-owed")
            assert answer.headers["Retry-After"]
            assert owed(stand) == 1
            stand.clock.advance(1)
            failed_us = stand.clock.now_us()
        await stand.until_answered(
            ana, f"/registry/v1/authorisations/{given['id']}", lambda now: now["state"] == "withdrawn"
        )
        await stand.published()
        assert owed(stand) == 0
    records = await stand.state_topic()
    withdrawn = next(row for row, record in enumerate(records) if record.headers.get(VERSION_HEADER) == "3")
    vouched = [
        row
        for row, record in enumerate(records)
        if record.key == HEARTBEAT_KEY
        and Heartbeat.FromString(record.value).as_of.ToMicroseconds() >= failed_us
    ]
    assert vouched
    assert min(vouched) > withdrawn


@pytest.mark.parametrize("act", ["pause", "remove"])
async def test_every_stop_is_owed_where_the_database_does_not_take_it(stand: Stand, act: str) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    await authorised(ana, camera["id"])
    url = f"/registry/v1/cameras/{camera['id']}"
    async with stand.service.lifespan():
        async with no_room(stand.database, "outbox_state"):
            answer = await (ana.post(f"{url}/pause") if act == "pause" else ana.delete(url))
            assert (answer.status_code, code_of(answer)) == (503, "stop-owed")
        await stand.published()
    assert (await stand.state(camera["id"])).version == 3


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.needs("postgres"))], indirect=True
)
async def test_an_act_that_gives_something_is_refused_and_owed_by_nobody(stand: Stand) -> None:
    ana = await stand.owner("ana")
    camera = await registered(ana)
    async with no_room(stand.database, "outbox_state"):
        answer = await ana.post(f"/registry/v1/cameras/{camera['id']}/authorisations", json=AUTHORISATION)
        assert (answer.status_code, code_of(answer)) == (503, "database-unavailable")
        assert owed(stand) == 0


async def test_a_stop_is_carried_out_without_a_look_at_the_owners_account(stand: Stand) -> None:
    """Who has none has nothing to stop; none is made."""
    zoe = await stand.owner("zoe")
    camera = await registered(await stand.owner("ana"))
    answer = await zoe.post(f"/registry/v1/cameras/{camera['id']}/pause")
    assert (answer.status_code, code_of(answer)) == (404, "not-found")
    async with stand.database.read() as connection:
        owners = (await connection.scalars(select(OWNERS.c.owner))).all()
    assert owners == [stand.key_of("ana")]


def owed(stand: Stand) -> float | None:
    return stand.service.registry.get_sample_value("registry_stops_owed")
