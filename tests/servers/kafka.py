"""Kafka in KRaft mode, each node broker and controller in one process: one open broker, or a cluster."""

import secrets
import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from feedgate_kit.bus.kafka_settings import KafkaSecurity
from tests.servers.certificates import CertificateAuthority
from tests.servers.detour import KafkaDetour
from tests.servers.machine import KAFKA_JARS
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
LARGE_HEAP = ("-Xms256m", "-Xmx512m")
SMALL_HEAP = ("-Xms320m", "-Xmx320m", "-XX:+AlwaysPreTouch")
"""Of a cluster's nodes: three of them share the machine with all the services. All of it from the start, for a JVM
fills the heap that it may have, and a soak that looks for growth would see nothing else."""
STARTED = "Kafka Server started"
ADMIN = "admin"
"""The user of a secured cluster who may do everything."""

# A killed broker may register again only when its last session has expired: 9 s unless told otherwise.
COMMON = """\
process.roles=broker,controller
node.id={node_id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.partitions=1
min.insync.replicas={in_sync}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor={nodes}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={nodes}
share.coordinator.state.topic.min.isr={in_sync}
log.cleaner.dedupe.buffer.size=16777216
log.retention.check.interval.ms=10000
log.initial.task.delay.ms=1000
log.segment.delete.delay.ms=1000
num.network.threads=2
num.io.threads=4
background.threads=2
"""
OPEN_WITH_DETOUR = """\
listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{behind_detour},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{detour}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
"""
OPEN = """\
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
"""
# Clients and agencies come with a password, each to a listener of their own as in deploy/kafka; nodes to each
# other with the certificate of `{node}`, who may do everything.
SECURED = """\
listeners=CLIENTS://127.0.0.1:{port},AGENCIES://127.0.0.1:{agencies},\
NODES://127.0.0.1:{between},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port},AGENCIES://127.0.0.1:{agencies},NODES://127.0.0.1:{between}
listener.security.protocol.map=CLIENTS:SASL_SSL,AGENCIES:SASL_SSL,NODES:SSL,CONTROLLER:SSL
inter.broker.listener.name=NODES
listener.name.clients.ssl.client.auth=none
listener.name.agencies.ssl.client.auth=none
listener.name.nodes.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.agencies.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.agencies.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:CN={node};User:{admin}
"""


class KafkaNode:
    """One broker that can be frozen, killed and started again on the same port and data."""

    def __init__(
        self,
        folder: Path,
        properties: str,
        *,
        port: int,
        other_ports: Sequence[int] = (),
        cluster_id: str,
        heap: Sequence[str] = LARGE_HEAP,
        format_options: Sequence[str] = (),
    ) -> None:
        self.port = port
        self.ports = (port, *other_ports)
        """All it listens on."""
        self.folder = folder
        file = folder / "server.properties"
        file.write_text(properties, encoding="utf-8")
        java = (shutil.which("java") or "java", *heap, *JVM, "-cp", f"{KAFKA_JARS}/*")
        self._format = (
            *(*java, "kafka.tools.StorageTool", "format", *format_options),
            *(f"--cluster-id={cluster_id}", "-c", str(file)),  # an id may begin with `-`
        )
        self._formatted = False
        self._starts = 0
        self.process = ServerProcess("kafka", (*java, "kafka.Kafka", file), folder / "broker.log")

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


class KafkaBroker(KafkaNode):
    """One open broker, alone."""

    def __init__(self, folder: Path) -> None:
        self.detour = KafkaDetour()
        """Another way to it, for clients whose requests are to be held back."""
        port, controller = free_port(), free_port()
        properties = COMMON + OPEN_WITH_DETOUR
        super().__init__(
            folder,
            properties.format(
                node_id=1,
                nodes=1,
                in_sync=1,
                voters=f"1@127.0.0.1:{controller}",
                data=folder / "data",
                port=port,
                behind_detour=self.detour.target_port,
                detour=self.detour.port,
                controller=controller,
            ),
            port=port,
            cluster_id=new_cluster_id(),
        )


class KafkaCluster:
    """One or three brokers, open or locked down; each of `brokers` can be frozen, killed and restarted.

    Locked down means: TLS, SASL/SCRAM-SHA-512 for clients, and nobody may do anything that no
    rule allows, but `admin`, whose password is `admin_password`.
    """

    def __init__(self, folder: Path, *, nodes: int = 1, secured: bool = True) -> None:
        """Prepare.

        Args:
            folder: an empty one, for certificates, properties and data.
            nodes: 1 or 3; internal topics are replicated on all, in sync on all but one.
            secured: False leaves it open to everybody on this machine.
        """
        self.folder = folder
        self.nodes = nodes
        self.secured = secured
        self.admin_password = secrets.token_urlsafe(16)
        self.authority = CertificateAuthority(folder)
        self.ca_file = self.authority.ca_file
        """Trusting it, a client believes the brokers."""
        keystore = self.authority.issue("node")
        ports = [(free_port(), free_port(), free_port(), free_port()) for _ in range(nodes)]
        voters = ",".join(f"{number}@127.0.0.1:{port[2]}" for number, port in enumerate(ports, start=1))
        cluster_id = new_cluster_id()
        self.brokers: list[KafkaNode] = []
        self.agencies_ports = [port[3] for port in ports] if secured else []
        """Where each broker listens for agencies."""
        for number, (port, between, controller, agencies) in enumerate(ports, start=1):
            node = folder / f"node-{number}"
            node.mkdir()
            properties = (COMMON + (SECURED if secured else OPEN)).format(
                node_id=number,
                nodes=nodes,
                in_sync=max(1, nodes - 1),
                voters=voters,
                data=node / "data",
                port=port,
                between=between,
                controller=controller,
                agencies=agencies,
                keystore=keystore,
                truststore=self.ca_file,
                node=keystore.stem,
                admin=ADMIN,
            )
            self.brokers.append(
                KafkaNode(
                    node,
                    properties,
                    port=port,
                    other_ports=(between, controller, agencies),
                    cluster_id=cluster_id,
                    heap=SMALL_HEAP,
                    format_options=self._first_user() if secured else (),
                )
            )

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def administrator(self) -> KafkaSecurity:
        """Who may do everything."""
        return self.security(ADMIN, self.admin_password)

    def security(self, user: str, password: str) -> KafkaSecurity:
        """How a user of a secured cluster reaches it."""
        return KafkaSecurity(ca_file=self.ca_file, username=user, password=password)

    def start(self) -> None:
        """Return when every broker takes requests."""
        for broker in self.brokers:
            broker.begin()
        for broker in self.brokers:
            broker.wait()

    def end(self) -> None:
        for broker in self.brokers:
            broker.end()

    def restore(self) -> None:
        """Every broker running again, whatever was done to it."""
        for broker in self.brokers:
            if broker.process.running:
                broker.cont()
            else:
                broker.begin()
        for broker in self.brokers:
            broker.wait()

    def _first_user(self) -> tuple[str, ...]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={ADMIN},password={self.admin_password}]")


def new_cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
