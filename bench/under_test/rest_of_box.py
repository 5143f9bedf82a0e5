"""Registry, access-policy and ingest on an embedded bus of their own: everything a relay is fed by.

Grants, tickets, heartbeats and pictures are as real as in one box; only the
relay is elsewhere, so that it can be measured alone.
"""

import asyncio
import secrets
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import uvloop
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

import feedgate_access_policy.app
import feedgate_ingest.app
import feedgate_registry.app
from bench.child import obey
from bench.under_test.bridge import STATE_TOPICS, Bridge, call
from bench.under_test.work import carried, until_ready
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.ticket import TicketKeyFile
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.composition import compose
from feedgate_kit.database import Database
from feedgate_kit.identity import IssuerConfig, TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.migration import migrate
from feedgate_kit.resolver import SystemResolver
from feedgate_kit.sealing import key_id_of, private_key_text, public_key_text
from feedgate_kit.server import running
from feedgate_kit.service import Service
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.tokens import LocalIssuer
from feedgate_registry.jurisdictions import load_jurisdictions
from feedgate_registry.pools import load_pools
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.settings import RegistrySettings

SERVICES_ISSUER = "urn:feedgate:bench"


async def main() -> None:
    async with AsyncExitStack() as stack:
        await obey(_Rest(stack).handle)


class _Rest:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clock = SystemClock()
        self._sent: list[tuple[int, int, int]] = []
        self._bridge: Bridge

    async def handle(self, command: str, given: dict[str, Any]) -> Any:
        match command:
            case "start":
                return await self._start(**given)
            case "call":
                return await self._call(**given)
            case "send":
                await self._stack.enter_async_context(
                    carried([self._bridge.send_pictures(given["stream"], self._note)])
                )
                return None
            case "sent":
                return self._sent
        raise ValueError(f"command `{command}`")

    def _note(self, record: Record) -> None:
        """Sequence, when it was sent to the relay, and when ingest received it; both by the monotonic clock."""
        sent_ns = time.monotonic_ns()
        unit = AccessUnit.FromString(record.value)
        age_ns = time.time_ns() - 1_000 * unit.received_at_us
        self._sent.append((unit.sequence, sent_ns, time.monotonic_ns() - age_ns))

    async def _call(self, *, folder: str) -> None:
        """Begin to feed the relay that listens in `folder`."""
        self._bridge = Bridge(self._bus)
        await call(Path(folder) / "bridge.sock", self._bridge)
        works = [self._bridge.send_state(topic) for topic in STATE_TOPICS]
        await self._stack.enter_async_context(carried([self._bridge.append_arrived(), *works]))

    async def _start(
        self,
        *,
        folder: str,
        issuers: list[dict[str, Any]],
        agency: dict[str, str],
        pool: str,
        allowed_networks: list[str],
    ) -> dict[str, Any]:
        path = Path(folder)
        self._bus = bus = EmbeddedBus(path / "rest-bus.sqlite", self._clock)
        self._stack.push_async_callback(bus.close)
        await bus.start()
        services_issuer = LocalIssuer.generate(SERVICES_ISSUER, self._clock)
        believed = [*(IssuerConfig.model_validate(issuer) for issuer in issuers), services_issuer.config()]
        self._agencies = {agency["id"]: Agency(**agency)}
        pool_key = X25519PrivateKey.generate()
        row = {
            "name": pool,
            "key_id": key_id_of(pool_key.public_key()),
            "public_key": public_key_text(pool_key.public_key()),
            "allowed_networks": allowed_networks,
        }
        (path / "pools.yaml").write_text(yaml.safe_dump([row]), encoding="utf-8")
        registry = await self._registry(path, TokenVerifier(believed, self._clock))
        access_policy = await self._access_policy(path, TokenVerifier(believed, self._clock))
        ingest = self._ingest(pool, pool_key, services_issuer, registry)
        box = compose("rest", [registry, access_policy, ingest])
        free = Listen("127.0.0.1", 0)
        served = await self._stack.enter_async_context(running(box, free, free, shutdown_s=2.0))
        await until_ready(box.waiting_for)
        return {"origin": served.public.origin, "internal": served.internal.origin}

    async def _database(self, path: Path, name: str, package: str) -> Database:
        database = Database(f"sqlite+aiosqlite:///{path / name}.sqlite")
        self._stack.push_async_callback(database.close)
        await migrate(database, package)
        return database

    async def _registry(self, path: Path, verifier: TokenVerifier) -> Service:
        settings = RegistrySettings(
            owner_hash_key=SecretStr(secrets.token_hex(32)), pools_file=path / "pools.yaml", skew_s=0.0
        )
        ports = RegistryPorts(
            database=await self._database(path, "registry", "feedgate_registry"),
            bus=self._bus,
            clock=self._clock,
            resolver=SystemResolver(settings.resolve_timeout_s),
            verifier=verifier,
            agencies=self._agencies,
            pools=load_pools(settings.pools_file),
            jurisdictions=load_jurisdictions(settings.packs_folder),
        )
        return feedgate_registry.app.create_app(settings, ports)

    async def _access_policy(self, path: Path, verifier: TokenVerifier) -> Service:
        key = Ed25519PrivateKey.generate()
        (path / "ticket.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        settings = AccessPolicySettings(
            operator_pseudonym_key=SecretStr(secrets.token_hex(32)),
            ticket_key_file=path / "ticket.pem",
            skew_s=0.0,
        )
        ports = AccessPolicyPorts(
            bus=self._bus,
            database=await self._database(path, "access-policy", "feedgate_access_policy"),
            verifier=verifier,
            agencies=self._agencies,
            ticket_keys=TicketKeyFile(settings.ticket_key_file),
            clock=self._clock,
        )
        return feedgate_access_policy.app.create_app(settings, ports)

    def _ingest(
        self, pool: str, pool_key: X25519PrivateKey, issuer: LocalIssuer, registry: Service
    ) -> Service:
        settings = IngestSettings(
            pool=pool, pool_private_key=SecretStr(private_key_text(pool_key)), skew_s=0.0
        )
        ports = feedgate_ingest.app.system_ports(
            settings,
            self._bus,
            self._clock,
            issuer.token_source("ingest", ["ingest"]),
            registry_transport=httpx.ASGITransport(registry.internal),
        )
        return feedgate_ingest.app.create_app(settings, ports)


if __name__ == "__main__":
    configure_logging("ERROR", sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
