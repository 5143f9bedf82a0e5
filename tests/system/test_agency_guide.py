"""The agency developer's page on Kafka, its commands run as written against a Kafka that is locked down."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest

from feedgate.kafka_apply import apply_all
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.topics import frame_events
from tests.servers.kafka import KafkaCluster
from tests.servers.machine import KAFKA_JARS
from tests.servers.process import ServerProcess
from tests.system.guide import Block, blocks, sections

pytestmark = [pytest.mark.needs("kafka", "kcat", "jdk"), pytest.mark.timeout(120)]

AGENCY, OTHER = "metro-police", "port-police"  # the first is the page's
SHOWN_BROKER, SHOWN_PASSWORD = "kafka.example.org:9093", "the-password-you-were-given"
RUN_TIMEOUT_S = 60.0
CE_TYPE = "feedgate.frame.v1.FrameEvent"
EVENTS = [FrameEvent(event_id=f"event-{number}", stream="camera/original") for number in range(3)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
async def developer(cluster: KafkaCluster, tmp_path: Path) -> Path:
    """The folder of a developer who has done what the page says, and events that wait for them."""
    passwords = cluster.folder / "passwords"
    await apply_all(
        cluster.bootstrap, [AGENCY, OTHER], cluster.administrator, replication_factor=1, passwords=passwords
    )
    relay = cluster.security("relay", (passwords / "relay").read_text().strip())
    bus = KafkaBus(KafkaSettings(bootstrap=cluster.bootstrap, security=relay), SystemClock())
    await bus.start()
    try:
        for event in EVENTS:
            record = Record("camera/original", event.SerializeToString(), {"ce_type": CE_TYPE})
            await bus.event_log(frame_events(AGENCY)).append(record)
    finally:
        await bus.close()
    (tmp_path / "brokers-ca.pem").symlink_to(cluster.ca_file)
    (tmp_path / "lib").symlink_to(KAFKA_JARS)
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "librdkafka.so.1").symlink_to(newer_librdkafka())
    password = (passwords / f"agency-{AGENCY}").read_text().strip()
    for block in shown("properties", "java"):
        text = block.text.replace(SHOWN_BROKER, cluster.bootstrap).replace(SHOWN_PASSWORD, password)
        (tmp_path / block.words).write_text(text, encoding="utf-8")
    return tmp_path


def newer_librdkafka() -> Path:
    """Debian's kcat runs with the library it finds, and Debian's own is older than the page asks for."""
    (found,) = (
        Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs").glob("librdkafka-*.so.1")
    )
    return found


def shown(*languages: str) -> list[Block]:
    page = sections("agency-developer.md")["On Kafka, with kcat and with Java"]
    return [block for block in blocks(page) if block.language in languages]


def command(program: str) -> str:
    (found,) = [block.text for block in shown("sh") if block.text.startswith(program)]
    return found


def ran(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / "newer")},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )


def test_kcat_reads_the_agencys_topic_as_the_page_says_and_no_other(developer: Path) -> None:
    done = ran(command("kcat"), developer)
    assert done.returncode == 0, done.stderr  # where a newer library has some warnings for kcat
    seen = [f"camera/original {len(event.SerializeToString())} bytes ce_type={CE_TYPE}" for event in EVENTS]
    assert done.stdout.splitlines()[: len(EVENTS)] == seen
    refused = ran(command("kcat").replace(AGENCY, OTHER), developer)
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert "Topic authorization failed" in refused.stderr


def test_java_reads_the_agencys_topic_as_the_page_says(developer: Path) -> None:
    log = developer / "consume.log"
    # `exec`: the process is then the one that is ended.
    process = ServerProcess("Consume.java", ["bash", "-c", f"exec {command('java')}"], log)
    process.start()
    try:
        process.wait_until(lambda: log.read_text().count(f"bytes {CE_TYPE}\n") >= len(EVENTS))
    finally:
        process.end()
    lines = [line for line in log.read_text().splitlines() if line.endswith(CE_TYPE)]
    assert lines[0] == f"camera/original {len(EVENTS[0].SerializeToString())} bytes {CE_TYPE}"
