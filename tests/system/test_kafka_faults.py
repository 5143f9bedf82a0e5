"""What breaks under a live view, on a real Kafka and a real PostgreSQL, every service its own process.

Each test measures by the viewer's clock: when the last picture was received after
the fault began, and when the first one came again by itself. Both are properties
of the test in a JUnit report.

The bound is 4 s of freshness and 0.5 s of skew, counted from before the fault
began; 5 s leaves half a second for the way to the viewer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest
import pytest_asyncio

from feedgate_client import RefusedError, kafka_frame_events
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.ids import new_id
from feedgate_kit.topics import CAMERA_STATE
from feedgate_tools.demo.story import People, Shared, StoryError, eventually
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.deployment import AGENCY, Deployment
from tests.servers.kafka import KafkaBroker
from tests.servers.machine import faketime_library
from tests.servers.needs import require
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, SeparatedDatabase
from tests.system.watch import TIMEOUT_S, Watch, now_us, watching

pytestmark = [
    pytest.mark.needs("kafka", "postgres"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

DARK_US = 5 * MICROSECONDS
AT_ONCE_US = MICROSECONDS
"""With nothing in its way, a withdrawal takes milliseconds; a second is a busy machine's."""
LOCK_S = 3.0
"""2 s until PostgreSQL ends a silent transaction, whose last ping may be as old as its last turn."""
HOUR_S = 3_600

Measure = Callable[[str, float], None]


@dataclass
class World:
    """The servers and services, all of which a test may break."""

    broker: KafkaBroker
    postgres: PostgresServer
    deployment: Deployment
    simulator: Simulator
    people: People
    measure: Measure

    @asynccontextmanager
    async def view(self, shared: Shared) -> AsyncIterator[Watch]:
        """A view that shows pictures."""
        async with watching(self.deployment, self.people, shared.grant_id) as watch:
            await watch.until_playing()
            yield watch

    async def share(self) -> Shared:
        """A camera of its own, shared."""
        people = self.people
        return await people.open_share(await people.register_camera(self.simulator.rtsp_url()))

    async def start_broker(self) -> None:
        # Started by the main thread: the kernel ends it with the thread that did.
        self.broker.begin()
        await asyncio.to_thread(self.broker.wait)

    async def start_postgres(self) -> None:
        self.postgres.process.start()
        await asyncio.to_thread(self.postgres.wait)

    async def restore(self) -> None:
        """Everything runs and answers again."""
        if not self.broker.process.running:
            await self.start_broker()
        self.broker.cont()
        if not self.postgres.process.running:
            await self.start_postgres()
        await self.deployment.restore()

    def went_dark(self, watch: Watch, fault_us: int, back_us: int) -> None:
        """No picture later than the bound after the fault, until `back_us`."""
        last_us = watch.last_picture_before(back_us)
        self.measure("dark_within_s", max(0, last_us - fault_us) / MICROSECONDS)
        assert last_us <= fault_us + DARK_US

    async def came_back(self, watch: Watch, cured_us: int) -> None:
        """Pictures come again on the same view, and go on."""
        again_us = await watch.until_picture(cured_us)
        self.measure("pictures_back_in_s", (again_us - cured_us) / MICROSECONDS)
        await watch.until_playing()

    async def stops_at_once(self, watch: Watch, shared: Shared) -> None:
        """A withdrawal works as if nothing had ever happened."""
        called_us = now_us()
        await self.people.withdraw(shared.authorisation_id)
        stopped = await watch.until_notice("stopped", called_us)
        self.measure("withdrawal_to_notice_s", (stopped.received_at_us - called_us) / MICROSECONDS)
        assert stopped.received_at_us <= called_us + AT_ONCE_US
        await self.stays_stopped(watch, shared, stopped.received_at_us)

    async def stays_stopped(self, watch: Watch, shared: Shared, stopped_us: int) -> None:
        """Nothing after the notice, nothing more to be had, and the relay itself still knows."""
        await watch.until_ended()
        assert watch.codes[-1] == "stopped"
        assert watch.pictures_between(stopped_us, now_us()) == 0
        with pytest.raises(StoryError, match="authorisation_withdrawn"):
            await self.deployment.take_ticket(self.people, shared.grant_id)

    async def refusal_of(self, shared: Shared, ticket: dict[str, Any]) -> str:
        """Why the relay opens no view with this ticket; it must not."""
        with pytest.raises(RefusedError) as refused:
            async with watching(self.deployment, self.people, shared.grant_id, ticket):
                pass
        return str(refused.value)

    async def camera_topic(self) -> list[Record]:
        """All of it, from its first record."""
        bus = KafkaBus(KafkaSettings(bootstrap=self.broker.bootstrap), SystemClock())
        await bus.start()
        try:
            reader = await bus.state_log(CAMERA_STATE).open_reader()
            return list(await reader.read_to_end())
        finally:
            await bus.close()

    async def versions(self, camera_id: str) -> list[int]:
        """Of a camera's records, in the order they lie in the topic."""
        topic = await self.camera_topic()
        return [int(record.headers[VERSION_HEADER]) for record in topic if record.key == camera_id]

    @asynccontextmanager
    async def as_superuser(self) -> AsyncIterator[Any]:
        """A connection to registry's database."""
        name = self.deployment.databases["registry"].name
        connection = await asyncpg.connect(self.postgres.url(name).replace("+asyncpg", ""))
        try:
            yield connection
        finally:
            await connection.close()

    async def until_waiting(self, on: str, query: str) -> None:
        """Until a session of registry's database waits for a lock of this kind in such a query."""
        question = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND wait_event = $1 AND query LIKE $2"
        )
        async with self.as_superuser() as connection:
            await eventually(
                lambda: connection.fetchval(question, on, f"%{query}%"), bool, TIMEOUT_S, f"a wait for {on}"
            )


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
    with ExitStack() as databases:

        def make_database() -> SeparatedDatabase:
            return postgres.create_separated_database()

        del databases
        async with Deployment(
            folder, kafka_bootstrap=broker.bootstrap, make_database=make_database
        ) as deployed:
            yield deployed
