"""Real servers and eyes for a screen: the tests' own, at their one seam with the benches."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bench.figures import BenchError
from tests.page.compositor import Box, Look
from tests.servers import machine
from tests.servers.deployment import PACKAGES, Deployment
from tests.servers.feeds import Feed, Seen, cameras_apart, demanded
from tests.servers.kafka import KafkaBroker, KafkaCluster
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailedError

__all__ = [
    "Box",
    "Deployment",
    "Feed",
    "Look",
    "Seen",
    "ServerFailedError",
    "cameras_apart",
    "chromium",
    "demanded",
    "deployment",
    "kafka_broker",
    "two_of_everything",
]


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


@asynccontextmanager
async def deployment(folder: Path) -> AsyncIterator[Deployment]:
    """Five services, a broker and a PostgreSQL server.

    Raises:
        BenchError: one of them is not installed.
    """
    files = folder / "deployment"
    files.mkdir()
    with kafka_broker(folder / "kafka") as broker, postgres_server() as postgres:
        async with Deployment(
            files, kafka_bootstrap=broker.bootstrap, make_database=postgres.create_separated_database
        ) as deployed:
            yield deployed


@asynccontextmanager
async def two_of_everything(folder: Path) -> AsyncIterator[Deployment]:
    """Two of every service, three ingest workers, three brokers and a PostgreSQL server.

    Raises:
        BenchError: one of them is not installed.
    """
    files = folder / "deployment"
    files.mkdir()
    with three_brokers(folder / "kafka") as cluster, postgres_server() as postgres:
        async with Deployment(
            files,
            kafka_bootstrap=cluster.bootstrap,
            make_database=postgres.create_separated_database,
            processes={**dict.fromkeys(PACKAGES, 2), "ingest": 3},
            replication_factor=3,
        ) as deployed:
            yield deployed


def _need(server: str) -> None:
    absent = machine.missing(server)
    if absent is not None:
        raise BenchError(f"{absent}; `make servers` installs it")
