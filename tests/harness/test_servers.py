"""The servers that the other tests stand on: they start, obey and leave nothing behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import av
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError
from playwright.async_api import Browser

from bench.meter import family_of
from tests.servers.gateway import NOBODY, Gateway
from tests.servers.gstreamer import Auth, Codec, StartGStreamerCamera
from tests.servers.kafka import KafkaBroker, KafkaCluster
from tests.servers.ports import free_port
from tests.servers.postgres import SeparatedDatabase


def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


async def make_topic(bootstrap: str, name: str, copies: int = 1, **security: Any) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **security)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, copies)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, **security: Any) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", request_timeout_ms=20_000, **security
    )
    try:
        await producer.start()
        sent = await producer.send_and_wait(topic, b"record")
    finally:
        await producer.stop()
    return int(sent.offset)


async def test_the_shared_broker_acknowledges_records(kafka_bootstrap: str) -> None:
    await make_topic(kafka_bootstrap, "harness-shared")
    assert await produce(kafka_bootstrap, "harness-shared") == 0


async def test_a_killed_broker_comes_back_on_its_port_with_its_records(kafka_broker: KafkaBroker) -> None:
    await make_topic(kafka_broker.bootstrap, "harness-own")
    assert await produce(kafka_broker.bootstrap, "harness-own") == 0
    kafka_broker.kill()
    kafka_broker.restart()
    assert await produce(kafka_broker.bootstrap, "harness-own") == 1


async def test_a_frozen_broker_goes_on_where_it_stood(kafka_broker: KafkaBroker) -> None:
    await make_topic(kafka_broker.bootstrap, "harness-frozen")
    kafka_broker.stop()
    assert kafka_broker.process.running
    kafka_broker.cont()
    assert await produce(kafka_broker.bootstrap, "harness-frozen") == 0


async def test_three_brokers_take_records_with_one_of_them_down(three_brokers: KafkaCluster) -> None:
    security = three_brokers.administrator.client_options()
    await make_topic(three_brokers.bootstrap, "harness-three", 3, **security)
    three_brokers.brokers[0].kill()
    assert await produce(three_brokers.bootstrap, "harness-three", **security) == 0
    three_brokers.restore()
    three_brokers.brokers[1].kill()
    assert await produce(three_brokers.bootstrap, "harness-three", **security) == 1


async def test_the_secured_broker_knows_nobody_without_a_password(secured_kafka: KafkaCluster) -> None:
    security = secured_kafka.administrator.client_options()
    await make_topic(secured_kafka.bootstrap, "harness-secured", **security)
    assert await produce(secured_kafka.bootstrap, "harness-secured", **security) == 0
    with pytest.raises(KafkaConnectionError):
        await produce(
            secured_kafka.bootstrap, "harness-secured", **security | {"sasl_plain_password": "wrong"}
        )
    with pytest.raises(KafkaConnectionError):
        await produce(secured_kafka.bootstrap, "harness-secured")


async def rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_an_empty_database(postgres_url: str, turn: int) -> None:
    await rows(postgres_url, f"CREATE TABLE seen AS SELECT {turn} AS turn")
    assert await rows(postgres_url, "SELECT turn FROM seen") == [(turn,)]


async def test_the_running_role_may_not_touch_what_the_owner_made(
    postgres_roles: Callable[[], SeparatedDatabase],
) -> None:
    database = postgres_roles()
    await rows(database.owner_url, "CREATE TABLE ledger (line int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rows(database.running_url, "SELECT * FROM ledger")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rows(database.running_url, "CREATE TABLE mine (line int)")


@pytest.mark.parametrize(
    ("codec", "audio", "auth"),
    [
        pytest.param("h264", False, "none", id="h264"),
        pytest.param("h264", True, "basic", id="h264 with audio behind basic"),
        pytest.param("h265", False, "digest", id="h265 behind digest"),
        pytest.param("mjpeg", False, "none", id="mjpeg"),
    ],
)
def test_the_independent_camera_plays(
    gstreamer_rtsp: StartGStreamerCamera, codec: Codec, audio: bool, auth: Auth
) -> None:
    camera = gstreamer_rtsp(codec=codec, audio=audio, auth=auth)
    with av.open(camera.url, options={"rtsp_transport": "tcp"}, timeout=10) as container:
        assert container.streams.video[0].codec_context.name == {"h265": "hevc"}.get(codec, codec)
        assert len(container.streams.audio) == audio
        assert next(container.demux(container.streams.video[0])).size > 0
    assert len(camera.tracks_set_up()) == 1 + audio


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_the_independent_camera_refuses_a_wrong_password(
    gstreamer_rtsp: StartGStreamerCamera, auth: Auth
) -> None:
    camera = gstreamer_rtsp(auth=auth)
    wrong = camera.url.replace(camera.password, "wrong")
    with pytest.raises(av.error.HTTPUnauthorizedError):
        av.open(wrong, options={"rtsp_transport": "tcp"}, timeout=10)


async def test_chromium_opens_a_page(browser: Browser) -> None:
    page = await browser.new_page()
    await page.set_content("<h1>covered</h1>")
    assert await page.text_content("h1") == "covered"


def test_two_askers_are_never_given_the_same_port() -> None:
    assert len({free_port() for _ in range(20)}) == 20


@pytest.mark.needs("nginx")
def test_the_gateway_is_the_deployed_one_and_ends_whole(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, {"relay-1.public": NOBODY}, ["relay-1.public"])
    gateway.start()
    processes = family_of(gateway.process.pid)
    assert len(processes) == 6, "unshare, nginx, and its four workers"
    with httpx.Client(base_url=gateway.origin, verify=gateway.trust()) as http:
        assert http.get("/healthz").json() == {"alive": True}
        assert [http.get(path).status_code for path in ("/internal", "/relay/metrics", "/")] == [404] * 3
        assert http.get("/registry/v1/openapi.json").status_code == 502, "nobody is behind it"
    gateway.end()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))
