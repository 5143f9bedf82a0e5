"""Real servers and eyes for a screen: the tests' own, at their one seam with the benches."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from bench.figures import BenchError
from tests.page.compositor import Box, Look
from tests.servers import machine
from tests.servers.deployment import PACKAGES, Deployment, relay_id_of
from tests.servers.feeds import Feed, Seen, cameras_apart, demanded
from tests.servers.gateway import Gateway
from tests.servers.kafka import KafkaBroker, KafkaCluster, KafkaNode
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailedError

__all__ = [
    "SERVICES",
    "TWO_OF_EVERYTHING",
    "Box",
    "Deployment",
    "Feed",
    "KafkaNode",
    "Look",
    "Platform",
    "Seen",
    "ServerFailedError",
    "cameras_apart",
    "chromium",
    "demanded",
    "deployment",
    "gateway_of",
    "kafka_broker",
    "three_brokers",
]

SERVICES: Final = tuple(PACKAGES)
TWO_OF_EVERYTHING: Final = {**dict.fromkeys(PACKAGES, 2), "ingest": 3}
"""Processes of each service, as a deployment that outlives any one of them has."""


def chromium() -> Path:
    """Where it is.

    Raises:
        BenchError: nowhere.
    """
    _need("chromium")
    path = machine.chromium()
    assert path is not None
    return path


@contextmanager
def kafka_broker(folder: Path) -> Iterator[KafkaBroker]:
    """One broker, as long as the block runs.

    Raises:
        BenchError: it is not installed.
    """
    _need("kafka")
    folder.mkdir()
    broker = KafkaBroker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@contextmanager
def three_brokers(folder: Path) -> Iterator[KafkaCluster]:
    """Three brokers, as long as the block runs.

    Raises:
        BenchError: they are not installed.
    """
    _need("kafka")
    folder.mkdir()
    cluster = KafkaCluster(folder, nodes=3, secured=False)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@contextmanager
def brokers_of(folder: Path, count: int) -> Iterator[Sequence[KafkaNode]]:
    """One broker or three, as long as the block runs.

    Raises:
        BenchError: they are not installed, or there is no such cluster.
    """
    if count == 1:
        with kafka_broker(folder) as broker:
            yield [broker]
    elif count == 3:
        with three_brokers(folder) as cluster:
            yield cluster.brokers
    else:
        raise BenchError(f"{count} brokers; allowed: 1 or 3")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server, as long as the block runs.

    Raises:
        BenchError: it is not installed.
    """
    _need("postgres")
    postgres = PostgresServer()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.end()


class Platform(Deployment):
    """The services, with the servers they stand on."""

    brokers: Sequence[KafkaNode]
    postgres: PostgresServer

    def log_bytes(self, topic: str) -> int:
        """What each broker's disk holds of a topic, all partitions."""
        segments = (self.brokers[0].folder / "data").glob(f"{topic}-*/*.log")
        return sum(segment.stat().st_size for segment in segments)

    def ask_database(self, service: str, question: str) -> int:
        """The number that a query of a service's database gives."""
        return int(self.postgres.execute(question, self.databases[service].name))


@asynccontextmanager
async def deployment(
    folder: Path, *, brokers: int = 1, processes: Mapping[str, int] | None = None
) -> AsyncIterator[Platform]:
    """Every service, on one broker or three and a PostgreSQL server.

    Args:
        folder: for their files.
        brokers: 1, or 3 that each hold every record.
        processes: how many of a service there are, where it is not one.

    Raises:
        BenchError: a server is not installed, or there is no such cluster.
    """
    files = folder / "deployment"
    files.mkdir()
    with brokers_of(folder / "kafka", brokers) as nodes, postgres_server() as postgres:
        platform = Platform(
            files,
            kafka_bootstrap=",".join(node.bootstrap for node in nodes),
            make_database=postgres.create_separated_database,
            processes=processes,
            replication_factor=brokers,
        )
        platform.brokers, platform.postgres = nodes, postgres
        async with platform:
            yield platform


@contextmanager
def gateway_of(folder: Path, deployed: Deployment, relays: Sequence[str] | None = None) -> Iterator[Gateway]:
    """The deployed gateway before these services, as long as the block runs.

    Args:
        folder: for its files.
        deployed: with one or two relays.
        relays: those that tickets are taken to, all if left out.

    Raises:
        BenchError: nginx is not installed.
    """
    _need("nginx")
    files = folder / "gateway"
    files.mkdir()
    services = {f"{name}.public": deployed.address(name) for name in ("registry", "access-policy", "audit")}
    there = {_public(name): deployed.address(name) for name in deployed.names("relay")}
    entered = [_public(name) for name in relays or deployed.names("relay")]
    gateway = Gateway(files, services | there, entered)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.end()


def _public(relay: str) -> str:
    """Its name in the gateway's configuration."""
    return f"{relay_id_of(relay)}.public"


def _need(server: str) -> None:
    absent = machine.missing(server)
    if absent is not None:
        raise BenchError(f"{absent}; `make servers` installs it")
