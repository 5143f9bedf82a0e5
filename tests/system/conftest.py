"""The whole system as fixtures."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings
from tests.servers.deployment import Deployment
from tests.servers.kafka import KafkaCluster
from tests.servers.needs import require
from tests.servers.postgres import SeparatedDatabase


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    """Cameras that are little to carry: what is asked is whether pictures come, beside a dozen processes."""
    settings = Settings(
        clip=True, user="shop", password="simulated-only", size="320x180", fps=10, gop_s=0.5, kbps=150
    )
    async with Simulator(settings) as simulator:
        yield simulator


@pytest.fixture
def secured_cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    """A locked-down broker of the test's own."""
    require("kafka")
    folder = tmp_path / "kafka"
    folder.mkdir()
    cluster = KafkaCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
async def secured_deployment(
    tmp_path: Path, secured_cluster: KafkaCluster, postgres_roles: Callable[[], SeparatedDatabase]
) -> AsyncIterator[Deployment]:
    """Every service its own process and user, on a locked-down Kafka and databases with separated roles."""
    folder = tmp_path / "deployment"
    folder.mkdir()
    async with Deployment(
        folder,
        kafka_bootstrap=secured_cluster.bootstrap,
        secured=secured_cluster,
        make_database=postgres_roles,
    ) as deployed:
        yield deployed
