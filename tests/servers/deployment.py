"""Every service its own process, on a real Kafka and a real PostgreSQL, by settings alone."""

import asyncio
import os
import signal
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate.kafka_apply import apply_all
from feedgate.service_databases import PACKAGES as WITH_DATABASE
from feedgate.service_databases import migrate_service
from feedgate_client.view import View
from feedgate_kit.bus.kafka_settings import OPEN, KafkaSecurity
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.identity import IssuerConfig
from feedgate_kit.ids import new_id
from feedgate_kit.sealing import key_id_of, private_key_text, public_key_text
from feedgate_kit.topics import apply_topics, load_topics
from feedgate_tools.demo.story import Cast, People, eventually
from feedgate_tools.issuer import DevelopmentIssuer, Person
from tests.servers.balancer import Balancer
from tests.servers.kafka import KafkaCluster
from tests.servers.ports import free_port
from tests.servers.postgres import SeparatedDatabase
from tests.servers.process import ServerFailedError, ServerProcess

AGENCY = "metro-police"
POOL = "local"
READY_TIMEOUT_S = 60.0
BALANCED = ("registry", "access-policy")
"""Whose internal ports other services call: any of their processes answers."""
KAFKA_PASSWORDS = "kafka-passwords"

PACKAGES = {
    "registry": "feedgate_registry",
    "access-policy": "feedgate_access_policy",
    "audit": "feedgate_audit",
    "ingest": "feedgate_ingest",
    "relay": "feedgate_relay",
}


class Issuer(Protocol):
    """Who vouches for everybody of a deployment."""

    def issuers_config(self) -> list[IssuerConfig]: ...

    def agency_issuer(self, agency: str) -> str: ...

    def person(self, name: str) -> Person: ...


class Deployment:
    """Five services, one process each or more, and what they need to find each other.

    The processes of a service are called by its name, `<service>-2`, `<service>-3`, …

    Enter it with the servers already running; processes may then be killed,
    frozen and started again one by one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kafka_bootstrap: str,
        make_database: Callable[[], SeparatedDatabase],
        secured: KafkaCluster | None = None,
        allowed_networks: Sequence[str] = ("127.0.0.1/32",),
        environment: Mapping[str, Mapping[str, str]] | None = None,
        processes: Mapping[str, int] | None = None,
        replication_factor: int = 1,
        certificates: Path | None = None,
        issuer: "Issuer | None" = None,
        gids: Mapping[str, int] | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: for settings, keys and logs.
            kafka_bootstrap: a broker of this deployment's own, without topics yet.
            secured: the cluster that listens there, if it is locked down; every service then is a user of
                its own, and the agency too.
            make_database: makes an empty database with an owning and a running role.
            allowed_networks: where cameras may be.
            environment: further variables per service.
            processes: how many of a service there are, where it is not one.
            replication_factor: of every topic.
            certificates: a folder with `internal.pem`, which the internal ports show, its key `internal.key`,
                and `ca.pem`, whom services and the test believe; None for plain http.
            issuer: one that runs already; left out, the development issuer in this process.
            gids: of processes that the network is to know from others, the group id each runs under.
        """
        self.certificates = certificates
        self.folder = folder
        self.kafka_bootstrap = kafka_bootstrap
        self.make_database = make_database
        self.secured = secured
        self.allowed_networks = list(allowed_networks)
        self.extra = environment or {}
        self.clock = SystemClock()
        self.issuer: Issuer = issuer or DevelopmentIssuer(self.clock, agency=AGENCY)
        self.gids = gids or {}
        self.call_timeout_s = 15.0
        """How long people wait for an answer."""
        self.replication_factor = replication_factor
        self.services = {
            name: service
            for service in PACKAGES
            for name in names_of(service, (processes or {}).get(service, 1))
        }
        """The service of each process."""
        self.ports = {name: (free_port(), free_port()) for name in self.services}
        self.databases: dict[str, SeparatedDatabase] = {}
        self.processes: dict[str, ServerProcess] = {}
        self._doubles: set[str] = set()
        self._balancers: dict[str, Balancer] = {}
        self._altered: set[str] = set()
        self._stack = AsyncExitStack()

    def origin(self, name: str) -> str:
        """A process's public origin."""
        return f"http://127.0.0.1:{self.ports[name][0]}"

    def signed_anew(self, ticket: dict[str, Any], **claims: str) -> dict[str, Any]:
        """The same ticket as access-policy would sign it now, if it still would.

        Args:
            ticket: one that it gave.
            claims: that are to be others.
        """
        signed = jwt.decode(ticket["ticket"], options={"verify_signature": False})
        issued_us = self.clock.now_us()
        issued_s = issued_us // MICROSECONDS
        signed |= {
            "jti": new_id(),
            "issued_at_us": issued_us,
            "iat": issued_s,
            "exp": issued_s + 60,
            "view_until_us": max(signed["view_until_us"], issued_us + 60 * MICROSECONDS),
            **claims,
        }
        headers = {"kid": jwt.get_unverified_header(ticket["ticket"])["kid"]}
        return {**ticket, "ticket": jwt.encode(signed, self.ticket_key, "EdDSA", headers)}

    def address(self, name: str) -> str:
        """The same as `host:port`."""
        return self.origin(name).removeprefix("http://")

    def internal(self, name: str) -> str:
        """A process's internal origin."""
        return f"{self._scheme}://127.0.0.1:{self.ports[name][1]}"

    @property
    def _scheme(self) -> str:
        return "http" if self.certificates is None else "https"

    def inside(self, name: str) -> httpx.AsyncClient:
        """Calls a process's internal port."""
        trust: ssl.SSLContext | bool = True
        if self.certificates is not None:
            trust = ssl.create_default_context(cafile=self.certificates / "ca.pem")
        return httpx.AsyncClient(base_url=self.internal(name), verify=trust)

    def names(self, service: str) -> list[str]:
        """The processes of a service that are there from the start."""
        return [name for name, its in self.services.items() if its == service and name not in self._doubles]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if isinstance(self.issuer, DevelopmentIssuer):
                await stack.enter_async_context(self.issuer)
            await self._apply_topics()
            for name in WITH_DATABASE:
                database = self.databases[name] = self.make_database()
                await migrate_service(name, database.owner_url, database.running_role)
            self._write_files()
            for service in BALANCED:
                ports = [self.ports[name][1] for name in self.names(service)]
                self._balancers[service] = await stack.enter_async_context(Balancer(ports))
            stack.callback(self._end_all)
            for name in self.services:
                self.start(name)
            await asyncio.gather(*(self.until_ready(name) for name in self.services))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def kafka_user(self, user: str) -> KafkaSecurity:
        """How a service, or `agency-<id>`, reaches Kafka."""
        if self.secured is None:
            return OPEN
        return self.secured.security(user, (self.folder / KAFKA_PASSWORDS / user).read_text().strip())

    async def _apply_topics(self) -> None:
        if self.secured is None:
            await apply_topics(
                self.kafka_bootstrap, load_topics(), [AGENCY], replication_factor=self.replication_factor
            )
        else:
            await apply_all(
                self.kafka_bootstrap,
                [AGENCY],
                self.secured.administrator,
                replication_factor=len(self.secured.brokers),
                passwords=self.folder / KAFKA_PASSWORDS,
            )

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a process anew, with the same settings.

        Args:
            name: which.
            environment: further variables for this start alone.
        """
        self._start(name, environment or {})
        (self._altered.add if environment else self._altered.discard)(name)

    def start_beside(self, service: str) -> str:
        """Start a further process of a service on the same database; the name it has here.

        It takes requests, and publishes once the first one has let go of the publisher's lock.
        """
        name = f"{service} beside"
        self._doubles.add(name)
        self.services[name] = service
        self.ports[name] = (free_port(), free_port())
        self._start(name, {})
        return name

    async def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Kill a process if it runs, start it anew and wait until it is ready."""
        self.processes[name].kill()
        self.start(name, environment)
        await self.until_ready(name)

    async def restore(self) -> None:
        """Every process of the start running again, with its own settings and ready, whatever was done."""
        for name in list(self._doubles):
            self.processes.pop(name).end()
            del self.ports[name], self.services[name]
        self._doubles.clear()
        for name in self.services:
            if name in self._altered:
                self.processes[name].end()
            if self.processes[name].running:
                self.processes[name].thaw()
            else:
                self.start(name)
        await asyncio.gather(*(self.until_ready(name) for name in self.services))

    def _start(self, name: str, environment: Mapping[str, str]) -> None:
        service = self.services[name]
        process = ServerProcess(
            name,
            [sys.executable, "-m", PACKAGES[service]],
            self.folder / f"{name}.log",
            environment={
                **os.environ,
                **self._settings(name),
                **self.extra.get(service, {}),
                **environment,
            },
        )
        process.gid = self.gids.get(name)
        process.start()
        self.processes[name] = process

    async def until_ready(self, service: str) -> None:
        """Until the service says that it waits for nothing.

        Raises:
            ServerFailedError: it ended, or it was not ready in time.
        """
        await self._until_success(service, "/readyz")

    async def until_alive(self, service: str) -> None:
        """Until the service answers, whatever it still waits for.

        Raises:
            ServerFailedError: it ended, or it did not answer in time.
        """
        await self._until_success(service, "/healthz")

    async def until_publishing(self, name: str) -> None:
        """Until a process's publisher holds the lock, and Kafka has its first heartbeat.

        Raises:
            StoryError: it did not in time.
        """
        prefix = self.services[name].replace("-", "_")
        await eventually(
            partial(self.metric, name, f"{prefix}_heartbeat_timestamp_seconds"),
            bool,
            READY_TIMEOUT_S,
            f"the first heartbeat of {name}",
        )

    async def publishing(self, service: str) -> str:
        """The one process of a service that publishes."""
        names = self.names(service)
        active = [name for name in names if await self._is_active(name)]
        if len(active) != 1:
            raise ServerFailedError(f"{active} publish; allowed: one of {names}")
        return active[0]

    async def until_active(self, name: str) -> None:
        """Until this process holds the publisher's lock.

        Raises:
            StoryError: it does not in time.
        """
        await eventually(lambda: self._is_active(name), bool, READY_TIMEOUT_S, f"{name} to publish")

    async def _is_active(self, name: str) -> bool:
        service = self.services[name].replace("-", "_")
        return bool(await self.metric(name, f"{service}_publisher_active"))

    async def metric(self, name: str, metric: str) -> float:
        """The sum of a metric over its labels, of one process."""
        lines = (await self.metrics(name)).splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0] == metric)

    async def _until_success(self, service: str, path: str) -> None:
        process = self.processes[service]
        async with self.inside(service) as http:
            answer = "no answer"
            for _ in range(round(READY_TIMEOUT_S / 0.05)):
                if not process.running:
                    break
                try:
                    ready = await http.get(path)
                except httpx.TransportError:
                    pass
                else:
                    if ready.is_success:
                        return
                    answer = ready.text
                await asyncio.sleep(0.05)
        raise ServerFailedError(f"{service} is not ready: {answer}\n{process.last_words()}")

    async def metrics(self, service: str) -> str:
        """What Prometheus would scrape."""
        async with self.inside(service) as http:
            return (await http.get("/metrics")).text

    @asynccontextmanager
    async def people(self, **instead: str) -> AsyncIterator[People]:
        """The story's people; each call goes to the service its path names.

        Args:
            instead: for a service, the name of the process beside it that is to be asked.
        """
        person = self.issuer.person
        cast = Cast(
            owner=person("owner").token_source(),
            operator=person("operator").token_source(),
            supervisor=person("supervisor").token_source(),
            developer=person("agency-system").token_source(),
        )
        transport = _ByFirstSegment(
            {
                service: [self.origin(name) for name in [instead.get(service, "")] if name]
                or [self.origin(name) for name in self.names(service)]
                for service in PACKAGES
            }
        )
        async with httpx.AsyncClient(
            transport=transport, base_url="http://feedgate", timeout=self.call_timeout_s
        ) as http:
            yield People(http, cast, agency=AGENCY, pool=POOL)

    @staticmethod
    async def take_ticket(people: People, grant_id: str) -> dict[str, Any]:
        """A fresh ticket, as the operator."""
        path = f"/access-policy/v1/grants/{grant_id}/tickets"
        ticket: dict[str, Any] = await people.call(people.cast.operator, "POST", path)
        return ticket

    @asynccontextmanager
    async def view(
        self,
        people: People,
        grant_id: str,
        ticket: dict[str, Any] | None = None,
        relay: str = "relay",
        origin: str | None = None,
    ) -> AsyncIterator[View]:
        """An open view of a grant, as the operator, with a fresh ticket or the given one.

        Args:
            people: the operator among them watches.
            grant_id: of what they may see.
            ticket: left out, one is taken.
            relay: which shows it, without a gateway.
            origin: the gateway's, to go through it.
        """

        async def take_ticket() -> dict[str, Any]:
            return ticket or await self.take_ticket(people, grant_id)

        view = View(origin or self.origin(relay), take_ticket)
        try:
            await view.open()
            yield view
        finally:
            await view.close()

    def _write_files(self) -> None:
        pool_key = X25519PrivateKey.generate()
        (self.folder / "pool").write_text(private_key_text(pool_key), encoding="ascii")
        pool = {
            "name": POOL,
            "key_id": key_id_of(pool_key.public_key()),
            "public_key": public_key_text(pool_key.public_key()),
            "allowed_networks": self.allowed_networks,
        }
        agency = {
            "id": AGENCY,
            "name": "Metro Police",
            "jurisdiction": "AR",
            "issuer": self.issuer.agency_issuer(AGENCY),
        }
        issuers = [
            config.model_dump(mode="json", exclude_none=True)
            for config in self.issuer.issuers_config()
            if config.agency in {None, AGENCY}
        ]
        for name, content in (("pools", [pool]), ("agencies", [agency]), ("issuers", issuers)):
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        self.ticket_key = Ed25519PrivateKey.generate()
        (self.folder / "ticket.pem").write_bytes(
            self.ticket_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _settings(self, name: str) -> dict[str, str]:
        service = self.services[name]
        prefix = f"FEEDGATE_{service.replace('-', '_').upper()}_"
        public, internal = self.ports[name]
        settings = {
            "KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "PUBLIC_PORT": str(public),
            "INTERNAL_PORT": str(internal),
            "PUBLIC_ORIGIN": self.origin("relay"),
            "ISSUERS_FILE": str(self.folder / "issuers.yaml"),
            "AGENCIES_FILE": str(self.folder / "agencies.yaml"),
            **self._kafka_settings(service),
            **self._certificate_settings(),
            **self._own_settings(name),
        }
        if service in self.databases:
            settings["DATABASE_URL"] = self.databases[service].running_url
        return {prefix + setting: value for setting, value in settings.items()}

    def _kafka_settings(self, service: str) -> dict[str, str]:
        user = self.kafka_user(service)
        if user.username is None:
            return {}
        return {
            "KAFKA_CA_FILE": str(user.ca_file),
            "KAFKA_USERNAME": user.username,
            "KAFKA_PASSWORD": user.password,
        }

    def _certificate_settings(self) -> dict[str, str]:
        if self.certificates is None:
            return {}
        return {
            "CA_FILE": str(self.certificates / "ca.pem"),
            "INTERNAL_CERTIFICATE_FILE": str(self.certificates / "internal.pem"),
            "INTERNAL_KEY_FILE": str(self.certificates / "internal.key"),
        }

    def _own_settings(self, name: str) -> dict[str, str]:
        own = {
            "registry": {
                "OWNER_HASH_KEY": "of the owners in this test, and of no other",
                "POOLS_FILE": str(self.folder / "pools.yaml"),
            },
            "access-policy": {
                "OPERATOR_PSEUDONYM_KEY": "of the operators in this test, and of no other",
                "TICKET_KEY_FILE": str(self.folder / "ticket.pem"),
            },
            "audit": {"OWNER_HASH_KEY": "of the owners in this test, and of no other"},
            "ingest": {
                "POOL": POOL,
                "WORKER_ID": name,
                "POOL_PRIVATE_KEY": (self.folder / "pool").read_text(encoding="ascii"),
                "REGISTRY_URL": f"{self._scheme}://{self._balancers['registry'].address}",
                **self._identity("ingest"),
            },
            "relay": {
                "RELAY_ID": relay_id_of(name),
                "ACCESS_POLICY_INTERNAL_URL": f"{self._scheme}://{self._balancers['access-policy'].address}",
                **self._identity("relay"),
            },
        }
        return own[self.services[name]]

    def _identity(self, service: str) -> dict[str, str]:
        """What a service gets its own tokens with."""
        client = self.issuer.person(service)
        return {
            "TOKEN_URL": client.token_url,
            "CLIENT_ID": client.account.name,
            "CLIENT_SECRET": client.account.secret,
        }

    def _end_all(self) -> None:
        for process in self.processes.values():
            if process.running:
                process.signal(signal.SIGTERM)  # all of them first, so that they end side by side
        for process in self.processes.values():
            process.end()


def names_of(service: str, count: int) -> list[str]:
    return [service, *(f"{service}-{number}" for number in range(2, count + 1))]


def relay_id_of(name: str) -> str:
    """A relay's name to others; of the first ones as the deployed gateway knows them."""
    return "relay-1" if name == "relay" else name.replace(" ", "-")


class _ByFirstSegment(httpx.AsyncBaseTransport):
    """Sends each request where its path's first segment says, as a gateway would.

    Of several origins in turn; one that accepts no connection is passed over.
    """

    def __init__(self, origins: Mapping[str, Sequence[str]]) -> None:
        self.origins = {name: deque(map(httpx.URL, several)) for name, several in origins.items()}
        self.inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origins = self.origins[request.url.path.split("/")[1]]
        for left in reversed(range(len(origins))):
            origins.rotate(-1)
            request.url = request.url.copy_with(host=origins[0].host, port=origins[0].port)
            request.headers["host"] = origins[0].netloc.decode()
            try:
                return await self.inner.handle_async_request(request)
            except httpx.ConnectError:
                if not left:
                    raise
        raise AssertionError("a service has a process")

    async def aclose(self) -> None:
        await self.inner.aclose()
