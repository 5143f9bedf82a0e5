"""Pytest plugin: the real servers as fixtures."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.servers import machine
from tests.servers.gstreamer import Auth, Codec, GStreamerCamera, Scene, StartGStreamerCamera
from tests.servers.kafka import KafkaBroker, KafkaCluster
from tests.servers.keycloak import KeycloakServer
from tests.servers.needs import require
from tests.servers.postgres import PostgresServer, SeparatedDatabase

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one broker listens for the whole run. It never fails; name topics so that tests do not meet."""
    require("kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker.bootstrap
    finally:
        broker.end()


@pytest.fixture
def kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of the test's own, to freeze, kill and start again."""
    require("kafka")
    folder = tmp_path / "kafka"
    folder.mkdir()
    broker = KafkaBroker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeycloakServer]:
    """One server for the whole run, with the realms of `deploy/keycloak`. It never fails."""
    require("keycloak")
    server = KeycloakServer(tmp_path_factory.mktemp("keycloak"))
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker, locked down, for the whole run. It never fails; topics and users are everybody's."""
    require("kafka")
    cluster = KafkaCluster(tmp_path_factory.mktemp("secured-kafka"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[KafkaCluster]:
    """Three brokers of the test's own, locked down, each to freeze, kill and start again."""
    require("kafka")
    folder = tmp_path / "three-brokers"
    folder.mkdir()
    cluster = KafkaCluster(folder, nodes=3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    require("postgres")
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh, empty database that goes with the test."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'database.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def postgres_roles(postgres_server: PostgresServer) -> Iterator[Callable[[], SeparatedDatabase]]:
    """Makes databases with an owning and a running role; they go with the test."""
    with ExitStack() as made:

        def make() -> SeparatedDatabase:
            database = postgres_server.create_separated_database()
            made.callback(postgres_server.drop_separated_database, database)
            return database

        yield make


@pytest.fixture
def gstreamer_rtsp(tmp_path: Path) -> Iterator[StartGStreamerCamera]:
    """Starts RTSP cameras that share no code with ours; they go with the test."""
    require("gstreamer")
    with ExitStack() as started:

        def start(
            *,
            codec: Codec = "h264",
            audio: bool = False,
            auth: Auth = "none",
            path: str = "/live",
            gop: int = 25,
        ) -> GStreamerCamera:
            scene = Scene(codec=codec, audio=audio, auth=auth, path=path, gop=gop)
            camera = GStreamerCamera(tmp_path, scene)
            started.callback(camera.end)
            camera.start()
            return camera

        yield start


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    require("chromium")
    path = machine.chromium()
    assert path is not None
    return path


@pytest.fixture
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    """A headless Chromium of the test's own."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_FLAGS))
        yield started
        await started.close()
