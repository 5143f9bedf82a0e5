"""What breaks under a live view, on a real Kafka and a real PostgreSQL, every service its own process.

Each test measures by the viewer's clock: when the last picture was received after
the fault began, and when the first one came again by itself. Both are properties
of the test in a JUnit report.

The bound is 4 s of freshness and 0.5 s of skew, counted from before the fault
began; 5 s leaves half a second for the way to the viewer.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_kit.clock import MICROSECONDS, to_us
from feedgate_kit.topics import CAMERA_STATE
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import NotNowError, People, eventually
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.deployment import Deployment
from tests.servers.detour import PostgresDetour
from tests.servers.kafka import KafkaBroker
from tests.servers.needs import require
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.system.fault_world import AT_ONCE_US, DARK_US, World
from tests.system.watch import TIMEOUT_S, now_us, watching

pytestmark = [
    pytest.mark.needs("kafka", "postgres"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120, func_only=True),
]

LOCK_S = 3.0
"""2 s until PostgreSQL ends a silent transaction, whose last ping may be as old as its last turn."""
HOUR_S = 3_600
CLOCK_S = 0.001
"""Between two heartbeats lies half a second; a moment as a decimal number is known to less than this."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    require("kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of this module's own, for it is stopped."""
    require("postgres")
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    settings = Settings(clip=True, user="shop", password="simulated-only", size="640x360", kbps=600)
    async with Simulator(settings) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(
    tmp_path_factory: pytest.TempPathFactory, broker: KafkaBroker, postgres: PostgresServer
) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    async with Deployment(
        folder, kafka_bootstrap=broker.bootstrap, make_database=postgres.create_separated_database
    ) as deployed:
        yield deployed


@pytest_asyncio.fixture(loop_scope="module")
async def world(
    broker: KafkaBroker,
    postgres: PostgresServer,
    deployment: Deployment,
    simulator: Simulator,
    request: pytest.FixtureRequest,
) -> AsyncIterator[World]:
    def measure(name: str, value: float) -> None:
        request.node.user_properties.append((name, round(value, 3)))

    async with deployment.people() as people:
        world = World(broker, postgres, deployment, simulator, people, measure)
        yield world
        await world.restore()


async def test_a_frozen_broker_is_dark_in_time_and_shows_again_when_it_goes_on(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        frozen_us = now_us()
        world.broker.stop()
        told = await watch.until_notice("not_fresh", frozen_us)
        await asyncio.sleep(2.0)  # longer than ingest keeps a camera that nobody vouches for
        world.broker.cont()
        thawed_us = now_us()
        world.went_dark(watch, frozen_us, thawed_us)
        await world.came_back(watch, thawed_us)
        resumed = await watch.until_notice("resumed", told.received_at_us)
        assert watch.pictures_between(told.received_at_us, resumed.received_at_us) == 0
        await world.stops_at_once(watch, shared)


async def test_a_withdrawal_while_the_broker_is_frozen_stays_dark_after_it_goes_on(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        world.broker.stop()
        withdrawn_us = now_us()
        await world.people.withdraw(shared.authorisation_id)
        world.measure("withdrawal_answered_in_s", (now_us() - withdrawn_us) / MICROSECONDS)
        assert now_us() <= withdrawn_us + AT_ONCE_US
        await watch.until_notice("not_fresh", withdrawn_us)
        world.broker.cont()
        thawed_us = now_us()
        stopped = await watch.until_notice("stopped", withdrawn_us)
        world.measure("stopped_after_thaw_s", (stopped.received_at_us - thawed_us) / MICROSECONDS)
        world.went_dark(watch, withdrawn_us, now_us())
        await world.stays_stopped(watch, shared, stopped.received_at_us)


async def test_who_looks_for_cameras_that_nobody_vouches_for_is_told_so_and_finds_them_afterwards(
    world: World,
) -> None:
    people = world.people
    shared = await world.share()
    incident_id = await people.report_incident()
    world.broker.stop()
    told = await eventually(partial(refusal_to_look, people, incident_id), bool, TIMEOUT_S, "a refusal")
    assert "503 what is known of the cameras is too old to permit anything" in told
    looking = asyncio.create_task(people.until_found(incident_id, shared.camera_id))
    assert await refusal_to_look(people, incident_id)
    assert not looking.done()
    world.broker.cont()
    assert shared.camera_id in await looking


async def test_a_relay_killed_and_started_again_takes_only_fresh_tickets(world: World) -> None:
    deployment, people = world.deployment, world.people
    shared = await world.share()
    async with world.view(shared) as watch:
        kept = await deployment.take_ticket(people, shared.grant_id)
        killed_us = now_us()
        deployment.processes["relay"].kill()
        await watch.until_ended()
        assert watch.codes[-1] == "lost"
        world.went_dark(watch, killed_us, now_us())
    deployment.start("relay")
    await deployment.until_ready("relay")
    assert "ticket_before_start" in await world.refusal_of(shared, kept)
    started_us = now_us()
    async with watching(deployment, people, shared.grant_id) as again:
        await world.came_back(again, started_us)
        await world.stops_at_once(again, shared)


async def test_a_publisher_killed_between_commit_and_send_loses_no_withdrawal(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        before = await world.versions(shared.camera_id)
        world.broker.stop()
        withdrawn_us = now_us()
        await world.people.withdraw(shared.authorisation_id)
        world.deployment.processes["registry"].kill()
        world.broker.cont()
        assert await world.versions(shared.camera_id) == before, "it was sent before the kill"
        await watch.until_notice("not_fresh", withdrawn_us)
        assert "stopped" not in watch.codes
        world.deployment.start("registry")
        started_us = now_us()
        stopped = await watch.until_notice("stopped", withdrawn_us)
        world.measure("stopped_after_start_s", (stopped.received_at_us - started_us) / MICROSECONDS)
        world.went_dark(watch, withdrawn_us, now_us())
        await world.stays_stopped(watch, shared, stopped.received_at_us)


async def test_registry_starts_and_stops_sharing_while_kafka_is_down_and_all_goes_on_when_it_is_back(
    world: World,
) -> None:
    withdrawn, kept = await world.share(), await world.share()
    async with world.view(withdrawn) as watch, world.view(kept) as other:
        killed_us = now_us()
        world.broker.kill()
        world.deployment.processes["registry"].kill()
        world.deployment.start("registry")
        await world.deployment.until_alive("registry")
        called_us = now_us()
        await world.people.withdraw(withdrawn.authorisation_id)
        world.measure("withdrawal_answered_in_s", (now_us() - called_us) / MICROSECONDS)
        await watch.until_notice("not_fresh", killed_us)
        await world.start_broker()
        back_us = now_us()
        world.went_dark(other, killed_us, back_us)
        stopped = await watch.until_notice("stopped", called_us)
        world.measure("stopped_after_broker_s", (stopped.received_at_us - back_us) / MICROSECONDS)
        world.went_dark(watch, killed_us, now_us())
        await world.stays_stopped(watch, withdrawn, stopped.received_at_us)
        await world.came_back(other, back_us)
        await world.stops_at_once(other, kept)


async def test_ingest_started_while_kafka_is_down_shows_pictures_when_it_is_back(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        killed_us = now_us()
        world.broker.kill()
        world.deployment.processes["ingest"].kill()
        world.deployment.start("ingest")
        await world.until_said("ingest", "background task failed", "connect to the bus")
        await watch.until_notice("not_fresh", killed_us)
        await world.start_broker()
        back_us = now_us()
        world.went_dark(watch, killed_us, back_us)
        await world.came_back(watch, back_us)
        await world.stops_at_once(watch, shared)


async def test_what_an_older_publisher_writes_late_brings_no_withdrawn_right_back(world: World) -> None:
    deployment, people, detour = world.deployment, world.people, world.broker.detour
    bootstrap = {"FEEDGATE_REGISTRY_KAFKA_BOOTSTRAP": f"127.0.0.1:{detour.port}"}
    async with detour:
        await deployment.restart("registry", bootstrap)
        shared = await world.share()
        second = deployment.start_beside("registry")
        await deployment.until_alive(second)
        await world.until_waiting("advisory", "pg_advisory_xact_lock")
        async with world.view(shared) as watch, deployment.people(registry=second) as by_second:
            kept = await deployment.take_ticket(people, shared.grant_id)
            detour.hold(CAMERA_STATE.encode(), shared.camera_id.encode())
            await people.authorise(shared.camera_id)  # version n, with the terms in force
            await detour.held.wait()
            stopped_us = now_us()
            deployment.processes["registry"].freeze()
            await deployment.until_publishing(second)
            taken_s = (now_us() - stopped_us) / MICROSECONDS
            world.measure("second_publishes_in_s", taken_s)
            assert taken_s <= LOCK_S
            called_us = now_us()
            await by_second.withdraw(shared.authorisation_id)  # version n + 1
            stopped = await watch.until_notice("stopped", called_us)
            assert stopped.received_at_us <= called_us + AT_ONCE_US
            await world.stays_stopped(watch, shared, stopped.received_at_us)
        newest = (await world.versions(shared.camera_id))[-1]
        detour.release()
        deployment.processes["registry"].thaw()
        late_and_healed = await eventually(
            lambda: world.versions(shared.camera_id),
            lambda versions: newest - 1 in versions[versions.index(newest) :] and versions[-1] == newest,
            TIMEOUT_S,
            "the late write, and the newest version after it",
        )
        assert late_and_healed[-3:] == [newest, newest - 1, newest]
        await deployment.restart("relay")
        as_if_new = world.deployment.signed_anew(kept)
        assert "authorisation_withdrawn" in await world.refusal_of(shared, as_if_new)


async def test_a_publisher_stopped_between_read_and_send_vouches_for_what_it_read(world: World) -> None:
    """The last answer that nothing waits is on its way to the publisher when it is stopped."""
    deployment = world.deployment
    async with PostgresDetour(world.postgres.port) as detour:
        url = deployment.databases["registry"].running_url
        by_detour = url.replace(f":{world.postgres.port}/", f":{detour.port}/")
        await deployment.restart("registry", {"FEEDGATE_REGISTRY_DATABASE_URL": by_detour})
        shared = await world.share()
        second = deployment.start_beside("registry")
        await deployment.until_alive(second)
        async with world.view(shared) as watch, deployment.people(registry=second) as by_second:
            detour.hold_answer()
            await detour.held.wait()
            vouched_s = await deployment.metric("registry", "registry_heartbeat_timestamp_seconds")
            deployment.processes["registry"].freeze()
            withdrawn_us = now_us()
            answer = await by_second.withdraw(shared.authorisation_id)
            assert await deployment.metric(second, "registry_publisher_active") == 0
            detour.release()
            deployment.processes["registry"].thaw()
            stopped = await watch.until_notice("stopped", withdrawn_us)
            world.measure("withdrawal_to_notice_s", (stopped.received_at_us - withdrawn_us) / MICROSECONDS)
            assert stopped.received_at_us <= withdrawn_us + DARK_US
            await world.stays_stopped(watch, shared, stopped.received_at_us)
        topic = await world.camera_topic()
        withdrawal = max(place for place, record in enumerate(topic) if record.key == shared.camera_id)
        beats = [as_of_us(record) for record in topic[:withdrawal] if record.key == HEARTBEAT_KEY]
        assert max(beats) / MICROSECONDS > vouched_s + CLOCK_S, (
            "it sent no heartbeat with what it had read before the withdrawal"
        )
        assert max(beats) <= to_us(datetime.fromisoformat(answer["stopped_at"]))


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("service", ["relay", "registry"])
async def test_a_clock_that_steps_is_dark_and_shows_again_when_it_is_right(
    world: World, service: str, tmp_path: Path
) -> None:
    async with world.stepping(service, tmp_path) as clock:
        shared = await world.share()
        async with world.view(shared) as watch:
            for seconds in (HOUR_S, -HOUR_S):
                stepped_us = now_us()
                clock.step(seconds)
                told = await watch.until_notice("not_fresh", stepped_us)
                clock.step(0)
                right_us = now_us()
                world.went_dark(watch, stepped_us, right_us)
                await world.came_back(watch, right_us)
                resumed = await watch.until_notice("resumed", told.received_at_us)
                assert watch.pictures_between(told.received_at_us, resumed.received_at_us) == 0
            await world.stops_at_once(watch, shared)


@pytest.mark.needs("faketime")
async def test_a_withdrawal_reaches_a_relay_whose_clock_is_an_hour_off(world: World, tmp_path: Path) -> None:
    async with world.stepping("relay", tmp_path) as clock:
        shared = await world.share()
        async with world.view(shared) as watch:
            stepped_us = now_us()
            clock.step(-HOUR_S)
            await watch.until_notice("not_fresh", stepped_us)
            await world.stops_at_once(watch, shared)
            clock.step(0)
            assert watch.last_picture_before(now_us()) <= stepped_us + DARK_US


@pytest.mark.needs("faketime")
async def test_a_withdrawal_counts_also_when_registry_s_clock_is_two_seconds_behind(
    world: World, tmp_path: Path
) -> None:
    """Its heartbeats still vouch, for two seconds less."""
    async with world.stepping("registry", tmp_path) as clock:
        shared = await world.share()
        async with world.view(shared) as watch:
            clock.step(-2)
            await watch.until_playing(75)
            await world.stops_at_once(watch, shared)


async def test_a_withdrawal_needs_neither_access_policy_nor_ingest_nor_audit(world: World) -> None:
    shared = await world.share()
    dead = ("access-policy", "ingest", "audit")
    async with world.view(shared) as watch:
        for service in dead:
            world.deployment.processes[service].kill()
        called_us = now_us()
        await world.people.withdraw(shared.authorisation_id)
        stopped = await watch.until_notice("stopped", called_us)
        world.measure("withdrawal_to_notice_s", (stopped.received_at_us - called_us) / MICROSECONDS)
        assert stopped.received_at_us <= called_us + AT_ONCE_US
        await watch.until_ended()
        assert watch.pictures_between(stopped.received_at_us, now_us()) == 0
        seen = len(watch.pictures_at_us)
    for service in dead:
        world.deployment.start(service)
    await asyncio.gather(*(world.deployment.until_ready(service) for service in dead))
    ready_us = now_us()
    entry = await world.ended_view(shared.camera_id)
    world.measure("in_the_ledger_after_s", (now_us() - ready_us) / MICROSECONDS)
    assert entry["pictures"] >= seen
    assert entry["dark_at"] is not None
    with pytest.raises(StoryError, match="authorisation_withdrawn"):
        await world.deployment.take_ticket(world.people, shared.grant_id)


async def test_a_database_that_stops_is_dark_in_time_and_shows_again_when_it_is_back(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        stopped_us = now_us()
        await asyncio.to_thread(world.postgres.process.end)
        await watch.until_notice("not_fresh", stopped_us)
        world.went_dark(watch, stopped_us, now_us())
        await world.start_postgres()
        started_us = now_us()
        await world.came_back(watch, started_us)
        await world.stops_at_once(watch, shared)


async def test_a_frozen_registry_is_dark_in_time_and_shows_again_when_it_goes_on(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        frozen_us = now_us()
        world.deployment.processes["registry"].freeze()
        told = await watch.until_notice("not_fresh", frozen_us)
        await asyncio.sleep(2.0)  # nothing may come, although the camera still sends
        world.deployment.processes["registry"].thaw()
        thawed_us = now_us()
        world.went_dark(watch, frozen_us, thawed_us)
        assert watch.pictures_between(told.received_at_us, thawed_us) == 0
        await world.came_back(watch, thawed_us)
        await world.stops_at_once(watch, shared)


async def test_a_camera_that_was_gone_is_shown_again_as_a_new_run(world: World) -> None:
    settings = Settings(clip=True, user="shop", password="simulated-only", size="640x360", port=free_port())
    async with AsyncExitStack() as viewing:
        async with Simulator(settings) as camera:
            shared = await world.share(camera)
            watch = await viewing.enter_async_context(world.view(shared))
            gone_us = now_us()
        await watch.until_notice("camera_lost", gone_us)
        async with Simulator(settings):
            back_us = now_us()
            await world.came_back(watch, back_us)
            await world.until_runs_shown(shared, 2)
            await world.stops_at_once(watch, shared)


async def test_a_killed_ingest_is_missed_and_begins_a_new_run(world: World) -> None:
    shared = await world.share()
    async with world.view(shared) as watch:
        killed_us = now_us()
        world.deployment.processes["ingest"].kill()
        await watch.until_notice("camera_lost", killed_us)
        world.deployment.start("ingest")
        started_us = now_us()
        await world.came_back(watch, started_us)
        await world.until_runs_shown(shared, 2)
        await world.stops_at_once(watch, shared)


async def refusal_to_look(people: People, incident_id: str) -> str:
    """Why no cameras can be looked for now; empty where they can."""
    try:
        await people.find_cameras(incident_id)
    except NotNowError as error:
        return str(error)
    return ""


def as_of_us(heartbeat: Record) -> int:
    return Heartbeat.FromString(heartbeat.value).as_of.ToMicroseconds()
