"""Real servers and eyes for a screen: the tests' own, at their one seam with the benches."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bench.figures import BenchError
from tests.page.compositor import Box, Look
from tests.servers import machine
from tests.servers.deployment import Deployment
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailedError

__all__ = ["Box", "Deployment", "Look", "ServerFailedError", "chromium", "deployment", "kafka_broker"]


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


@asynccontextmanager
async def deployment(folder: Path) -> AsyncIterator[Deployment]:
    """Five services, a broker and a PostgreSQL server.

    Raises:
        BenchError: one of them is not installed.
    """
    _need("postgres")
    with kafka_broker(folder / "kafka") as broker:
        postgres = PostgresServer()
        try:
            postgres.start()
            files = folder / "deployment"
            files.mkdir()
            async with Deployment(
                files,
                kafka_bootstrap=broker.bootstrap,
                make_database=postgres.create_separated_database,
            ) as deployed:
                yield deployed
        finally:
            postgres.end()


def _need(server: str) -> None:
    absent = machine.missing(server)
    if absent is not None:
        raise BenchError(f"{absent}; `make servers` installs it")
