"""Everything that runs while faults strike: servers, services, cameras, owners, viewers."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.faults.commits import Commits
from tests.faults.disk import SmallDisk
from tests.faults.issuer import LastingIssuer
from tests.faults.network import FIRST_GID, Network, Place
from tests.faults.owners import CALL_TIMEOUT_S, Owners
from tests.faults.records import Records
from tests.faults.trespasser import Trespasser
from tests.faults.viewers import Crowd, View, Viewer
from tests.servers.deployment import AGENCY, PACKAGES, Deployment
from tests.servers.kafka import KafkaCluster, KafkaNode
from tests.servers.machine import REPOSITORY
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailedError, ServerProcess
from tests.system.fault_world import SteppedClock

CAMERAS: Final = 8
BROKERS: Final = ("kafka-1", "kafka-2", "kafka-3")
TARGETS: Final = (*PACKAGES, *BROKERS, "postgres", "issuer")
BROKER_DISK_MIB: Final = 192
DATABASE_DISK_MIB: Final = 256
RESTARTS: Final = 10
PICTURES: Final = Settings(
    clip=True, cameras=CAMERAS, user="shop", password="simulated", size="320x180", fps=5, gop_s=0.6, kbps=100
)
"""Little to carry: what is asked is whether pictures come, on a machine that runs a dozen processes."""


@dataclass(slots=True)
class Target:
    """One process that faults strike."""

    name: str
    place: Place
    process: Callable[[], ServerProcess]
    start: Callable[[], Awaitable[None]]
    """Start it, on the data it had, and return when it answers."""
    clock: SteppedClock | None = None
    disk: SmallDisk | None = None


class World:
    """Entered by `running`."""

    def __init__(self, folder: Path, viewers: int, seed: int) -> None:
        folder.chmod(0o755)  # PostgreSQL's user reads its clock there
        self.folder = folder
        self.viewers = viewers
        self.seed = seed
        self.network = Network()
        self.cluster = KafkaCluster(self._folder("kafka"), nodes=len(BROKERS), secured=False)
        self.postgres = PostgresServer()
        self.issuer = LastingIssuer.create(self._folder("issuer"), free_port(), AGENCY)
        self.targets: dict[str, Target] = {}
        self.tickets_taken: Counter[str] = Counter()
        """By grant."""
        self.deployment: Deployment
        self.commits: Commits
        self.owners: Owners
        self.crowd: Crowd
        self.trespasser: Trespasser
        self.records: Records

    def views(self) -> list[View]:
        """Every view that was opened and not forgotten."""
        return [view for viewer in self.crowd.viewers for view in viewer.views] + self.trespasser.views

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """Everything started, and every viewer sees."""
        async with AsyncExitStack() as stack:
            self._start_servers(stack)
            self.deployment = await stack.enter_async_context(self._deploy())
            self.commits = Commits(self.postgres, self.deployment.databases)
            await self.commits.install()
            simulator = await stack.enter_async_context(Simulator(PICTURES))
            self.records = Records(self.deployment, self.postgres, self.cluster)
            await self._people(stack, simulator)
            yield self

    async def _people(self, stack: AsyncExitStack, simulator: Simulator) -> None:
        people = await stack.enter_async_context(self.deployment.people())
        self.owners = Owners(people, self.seed)
        await self.owners.register([simulator.rtsp_url(path) for path in simulator.paths])
        tickets: dict[str, dict[str, Any]] = {}  # one of each grant, for those who try again

        async def take_ticket(grant_id: str) -> dict[str, Any]:
            tickets[grant_id] = await self.deployment.take_ticket(people, grant_id)
            self.tickets_taken[grant_id] += 1
            return tickets[grant_id]

        origin = self.deployment.origin("relay")
        viewers = [
            Viewer(number, owner.showing, origin, take_ticket)
            for number, owner in zip(range(self.viewers), cycle(self.owners.owners), strict=False)
        ]
        self.crowd = Crowd(viewers)
        owners = self.owners
        self.trespasser = Trespasser(
            origin, owners.withdrawn, owners.live, tickets, self.deployment.signed_anew
        )
        carry = await stack.enter_async_context(_tasks())
        carry(self.owners.run())
        carry(self.crowd.run())
        carry(self.trespasser.run())

    # Servers.

    def _start_servers(self, stack: AsyncExitStack) -> None:
        for name, broker in zip(BROKERS, self.cluster.brokers, strict=True):
            self._add_broker(name, broker)
        stack.callback(self.cluster.end)
        self.cluster.start()
        self._add_postgres()
        stack.callback(self.postgres.end)
        for target in self.targets.values():
            if target.disk is not None:
                stack.callback(target.disk.unmount)
        self.postgres.start()
        issuing = self._add_issuer()
        stack.callback(issuing.end)
        issuing.start()

    def _add_broker(self, name: str, broker: KafkaNode) -> None:
        data = broker.folder / "data"
        data.mkdir()
        self._add(
            name,
            broker.ports,
            lambda: broker.process,
            partial(_start_node, broker),
            disk=SmallDisk(data, BROKER_DISK_MIB),
        )
        broker.process.gid = gid_of(name)

    def _add_postgres(self) -> None:
        server, clock = self.postgres, self._clock("postgres")
        self._add(
            "postgres",
            (server.port,),
            lambda: server.process,
            partial(_start_postgres, server),
            clock=clock,
            disk=SmallDisk(server.folder, DATABASE_DISK_MIB, server.folder.stat().st_uid),
        )
        server.process.gid = gid_of("postgres")
        # Not from the start: libfaketime's shared memory would be root's, and the server's user not let in.
        server.process.prefix = ("env", *(f"{name}={value}" for name, value in clock.environment.items()))

    def _add_issuer(self) -> ServerProcess:
        clock = self._clock("issuer")
        process = ServerProcess(
            "issuer",
            [sys.executable, "-m", "tests.faults.issuer", self.folder / "issuer"],
            self.folder / "issuer.log",
            environment={**os.environ, **clock.environment, "PYTHONPATH": str(REPOSITORY)},
        )

        async def start() -> None:
            process.start()

        self._add("issuer", (self.issuer.port,), lambda: process, start, clock=clock)
        process.gid = gid_of("issuer")
        return process

    # Services.

    def _deploy(self) -> Deployment:
        clocks = {name: self._clock(name) for name in PACKAGES}
        deployment = Deployment(
            self._folder("deployment"),
            kafka_bootstrap=self.cluster.bootstrap,
            make_database=self.postgres.create_separated_database,
            environment={name: clock.environment for name, clock in clocks.items()},
            replication_factor=len(BROKERS),
            issuer=self.issuer,
            gids={name: gid_of(name) for name in PACKAGES},
        )
        deployment.call_timeout_s = CALL_TIMEOUT_S
        for name, clock in clocks.items():
            self._add(
                name,
                deployment.ports[name],
                partial(deployment.processes.__getitem__, name),
                partial(_start_service, deployment, name),
                clock=clock,
            )
        return deployment

    def _add(
        self,
        name: str,
        ports: Sequence[int],
        process: Callable[[], ServerProcess],
        start: Callable[[], Awaitable[None]],
        *,
        clock: SteppedClock | None = None,
        disk: SmallDisk | None = None,
    ) -> None:
        place = Place(TARGETS.index(name), gid_of(name), tuple(ports))
        self.network.mark(place)
        self.targets[name] = Target(name, place, process, start, clock, disk)

    def _clock(self, name: str) -> SteppedClock:
        folder = self._folder(f"clock-of-{name}")
        return SteppedClock(folder)

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def gid_of(name: str) -> int:
    """The group id that one target runs under, and nobody else."""
    return FIRST_GID + TARGETS.index(name)


async def _start_node(broker: KafkaNode) -> None:
    # Started by the main thread: the kernel ends it with the thread that did.
    broker.begin()
    await asyncio.to_thread(broker.wait)


async def _start_postgres(server: PostgresServer) -> None:
    for left in reversed(range(RESTARTS)):  # while a dead server's sessions hold on to its memory it refuses
        server.process.start()
        try:
            await asyncio.to_thread(server.wait)
        except ServerFailedError:
            if not left:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _start_service(deployment: Deployment, name: str) -> None:
    deployment.start(name)
    await deployment.until_ready(name)


@asynccontextmanager
async def _tasks() -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Carries coroutines until the end; one that fails ends everything at once."""
    running: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        yield lambda work: running.append(group.create_task(work))
        for task in running:
            task.cancel()
