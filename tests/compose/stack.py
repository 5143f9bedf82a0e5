"""docker-compose.yml's stack, up on an engine of the tests' own."""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from feedgate_tools.simulator.counts import Counts, PathCounts
from tests.compose.engine import BASE, JAVA, Engine, EngineError
from tests.compose.one_loopback import LEFT_OUT, NET, addresses_of, at_its_port, one_loopback
from tests.servers.gateway import gateway_addresses
from tests.servers.machine import KAFKA_JARS, REPOSITORY, keycloak_distribution

STAND_INS: Final = Path(__file__).parent / "stand_ins"
IMAGES: Final = ("registry", "access-policy", "audit", "ingest", "relay", "feedgate", "tools")
VERSION: Final = "0.1.0"
PROJECT: Final = "feedgate"
ALERTMANAGER: Final = "deploy/alertmanager"
ORIGIN: Final = "https://feedgate.localhost:8443"
CAMERA: Final = "rtsp://shop:simulated-only@camera.public:8554/cam0"
RELAYS: Final = ("relay-1", "relay-2")
INGEST: Final = ("ingest-1", "ingest-2")
HEALTHY_WITHIN_S: Final = (
    420.0  # Keycloak builds itself at its first start: a minute, on a busy machine several
)
LOOK_S: Final = 0.3
ASK_FOR_STATS: Final = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as control:
    control.sendall(b'{"command": "stats"}\\n')
    print(control.makefile().readline())
"""
"""The camera takes commands on its own loopback alone."""


class Stack:
    """The containers, and what may be asked of them."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
        kept = {name: service for name, service in compose["services"].items() if name not in LEFT_OUT}
        addresses = addresses_of(kept)
        self.relays = RELAYS
        (folder / "addresses.conf").write_text(
            gateway_addresses(
                (REPOSITORY / "deploy/gateway/addresses.conf").read_text(encoding="utf-8"),
                {name: f"{address}:8080" for name, address in addresses.items()},
                [f"{relay}.public" for relay in self.relays],
            ),
            encoding="utf-8",
        )
        watching = (REPOSITORY / "deploy/compose/prometheus.yml").read_text(encoding="utf-8")
        (folder / "prometheus.yml").write_text(at_its_port(watching), encoding="utf-8")
        shutil.copytree(REPOSITORY / ALERTMANAGER, folder / ALERTMANAGER)
        stack = one_loopback(
            compose,
            base=BASE,
            addresses_file=str(folder / "addresses.conf"),
            prometheus_file=str(folder / "prometheus.yml"),
            alertmanager_folder=str(folder / ALERTMANAGER),
        )
        self.file = folder / "docker-compose.yml"
        self.file.write_text(yaml.safe_dump(stack, sort_keys=False), encoding="utf-8")
        self.project = (
            *("--project-directory", str(REPOSITORY), "--file", str(self.file)),
            *("--project-name", PROJECT),
        )
        self.environment = {
            "FEEDGATE_REALMS": "demo",
            "FEEDGATE_ALLOWED_NETWORKS": f"{addresses['camera.public']}/32",
            "FEEDGATE_VERSION": VERSION,
        }
        self.up_at_s = 0.0

    def build(self) -> None:
        """Every image: ours over the stand-in for their base, and stand-ins for those of registries."""
        self.engine.import_base()
        for image in IMAGES:
            self.engine.build(
                f"feedgate/{image}:{VERSION}",
                REPOSITORY,
                REPOSITORY / "deploy/Dockerfile",
                target=image,
                BASE=BASE,
                VERSION=VERSION,
            )
        self._build_stand_in("nginx", BASE=BASE)
        for name in ("postgres", "prometheus", "alertmanager"):
            self._build_stand_in(name, BASE=BASE)
        self._build_stand_in("java", BASE=BASE)
        self._build_stand_in("kafka", KAFKA_JARS.parent, JAVA=JAVA)
        keycloak = keycloak_distribution()
        assert keycloak is not None
        self._build_stand_in("keycloak", keycloak, JAVA=JAVA)

    def up(self) -> None:
        """Start everything, and return when every service says that it is ready."""
        self.up_at_s = time.time()
        self.compose("--profile", "demo", "up", "--detach", "--no-build")
        self.until_healthy(
            *("gateway", "registry", "access-policy", "audit", "ingest-1", *self.relays, "page", "camera"),
            *("prometheus", "alertmanager"),
        )

    def down(self) -> None:
        """End it with its volumes."""
        self.compose("--profile", "demo", "--profile", "story", "down", "--volumes", "--timeout", "5")

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(self.project, *arguments, environment=self.environment)

    def container(self, service: str) -> str:
        """The container's name."""
        wanted = (f"{PROJECT}_{service}_1", f"{PROJECT}-{service}-1")
        names = self.engine.docker("ps", "--all", "--format", "{{.Names}}").split()
        found = [name for name in names if name in wanted]
        assert len(found) == 1, f"{service}: {found} of {names}"
        return found[0]

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", self.container(service)))[0]
        return found

    def until_healthy(self, *services: str) -> None:
        """Until their health checks pass.

        Raises:
            EngineError: one ended, or was not in time; with its last words.
        """
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        for service in services:
            while (health := self._health(service)) != "healthy":
                if health == "ended" or time.monotonic() > deadline:
                    raise EngineError(
                        f"{service} is {health}, {self._said(service)}:\n{self.logs(service)[-3000:]}"
                    )
                time.sleep(LOOK_S)

    def logs(self, service: str) -> str:
        done = subprocess.run(
            ["docker", "logs", self.container(service)],
            env=self.engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def inside(self, *command: str, mounts: Sequence[str] = (), user: str | None = None) -> str:
        """Run a program of the tools' image in the stack's network, with the story's secrets.

        Raises:
            EngineError: it failed.
        """
        return self.engine.docker(
            *("run", "--rm", "--network", f"container:{self.container(NET)}"),
            *("--env", "SSL_CERT_FILE=/run/feedgate/ca.pem"),
            *("--volume", f"{PROJECT}_secrets-story:/run/feedgate:ro"),
            *(part for mount in mounts for part in ("--volume", mount)),
            *(("--user", user) if user else ()),
            *("--entrypoint", command[0], f"feedgate/tools:{VERSION}", *command[1:]),
        )

    def camera_counts(self) -> PathCounts:
        """What the simulated camera was asked so far."""
        port = json.loads(self.logs("camera").splitlines()[0])["control_port"]
        answer = self.engine.docker(
            "exec", self.container("camera"), "python", "-c", ASK_FOR_STATS, str(port)
        )
        return Counts.from_json(json.loads(answer)["ok"]).paths["/cam0"]

    def until_done(self, job: str) -> None:
        """Until a container that has something to do once has done it."""
        while self.inspect(job)["State"]["Status"] == "running":
            time.sleep(LOOK_S)
        assert self.inspect(job)["State"]["ExitCode"] == 0, self.logs(job)

    def stop(self, service: str) -> float:
        """`docker stop`; how long it took, in seconds."""
        began_s = time.monotonic()
        self.engine.docker("stop", "--time", "30", self.container(service))
        return time.monotonic() - began_s

    def start(self, service: str) -> None:
        self.engine.docker("start", self.container(service))
        self.until_healthy(service)

    def _health(self, service: str) -> str:
        state = self.inspect(service)["State"]
        if state["Status"] in {"exited", "dead"}:
            return "ended"
        return str(state.get("Health", {}).get("Status", "without a health check"))

    def _said(self, service: str) -> str:
        """What its last health check put out."""
        checks = self.inspect(service)["State"].get("Health", {}).get("Log") or [{}]
        return f"`{str(checks[-1].get('Output', '')).strip()}` at {checks[-1].get('End', '')}"

    def _build_stand_in(self, name: str, context: Path = STAND_INS, **arguments: str) -> None:
        self.engine.build(f"feedgate-test/{name}", context, STAND_INS / f"{name}.Dockerfile", **arguments)
