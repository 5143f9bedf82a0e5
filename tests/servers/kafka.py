"""One Kafka broker in KRaft mode: broker and controller in one process."""

import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from tests.servers.detour import KafkaDetour
from tests.servers.machine import KAFKA_JARS
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
STARTED = "Kafka Server started"
# A killed broker may register again only when its last session has expired: 9 s unless told otherwise.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{behind_detour},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{detour}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.partitions=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=10000
log.segment.delete.delay.ms=1000
num.network.threads=2
num.io.threads=4
background.threads=2
"""


class KafkaBroker:
    """A broker that can be frozen, killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.detour = KafkaDetour()
        """Another way to it, for clients whose requests are to be held back."""
        self.folder = folder
        properties = folder / "server.properties"
        data = folder / "data"
        properties.write_text(
            PROPERTIES.format(
                port=self.port,
                behind_detour=self.detour.target_port,
                detour=self.detour.port,
                controller=free_port(),
                data=data,
            ),
            encoding="utf-8",
        )
        java = shutil.which("java") or "java"
        self._format = (
            *(java, *JVM, "-cp", f"{KAFKA_JARS}/*", "kafka.tools.StorageTool", "format"),
            *(f"--cluster-id={new_cluster_id()}", "-c", str(properties)),  # an id may begin with `-`
        )
        self._formatted = False
        self._starts = 0
        self.process = ServerProcess(
            "kafka",
            (java, *JVM, "-cp", f"{KAFKA_JARS}/*", "kafka.Kafka", properties),
            folder / "broker.log",
        )

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when the broker takes requests."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it and return at once, for a caller that has other things to do until `wait`."""
        if not self._formatted:
            subprocess.run(self._format, check=True, capture_output=True)
            self._formatted = True
        self._starts += 1
        self.process.start()

    def wait(self) -> None:
        """Return when the broker takes requests."""
        self.process.wait_until(self._takes_requests)

    def stop(self) -> None:
        """Freeze it (SIGSTOP): clients see silence, not an error."""
        self.process.freeze()

    def cont(self) -> None:
        self.process.thaw()

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        """Start it again on its port and data, ending it first if it still runs."""
        self.process.end()
        self.start()

    def end(self) -> None:
        # What is on the test's disk is thrown away, so a tidy shutdown buys nothing.
        self.process.kill()

    def _takes_requests(self) -> bool:
        said = self.process.log.read_text(encoding="utf-8", errors="replace").count(STARTED)
        if said < self._starts:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def new_cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
