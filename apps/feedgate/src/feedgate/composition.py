"""All services in one process, on the embedded backs, behind one origin."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from starlette.types import ASGIApp

import feedgate_access_policy.app
import feedgate_audit.app
import feedgate_ingest.app
import feedgate_registry.app
import feedgate_relay.app
from feedgate.data_folder import DataFolder
from feedgate.settings import UpSettings
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.ticket import load_ticket_keys
from feedgate_audit.ports import AuditPorts
from feedgate_audit.settings import AuditSettings
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.composition import Composition, compose
from feedgate_kit.database import Database
from feedgate_kit.identity import IssuerConfig, TokenVerifier
from feedgate_kit.migration import migrate
from feedgate_kit.sealing import key_id_of, private_key_text, public_key_text
from feedgate_kit.service import Service
from feedgate_kit.tokens import LocalIssuer
from feedgate_registry.adapters.host_resolver import HostResolver
from feedgate_registry.pools import load_pools
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.settings import RegistrySettings
from feedgate_relay.adapters.http_ticket_keys import HttpTicketKeys
from feedgate_relay.ports import RelayPorts
from feedgate_relay.settings import RelaySettings

SERVICES_ISSUER = "urn:feedgate:one-box"
"""Issuer of the tokens that this process's own services show each other."""

PACKAGES = {
    "registry": "feedgate_registry",
    "access-policy": "feedgate_access_policy",
    "audit": "feedgate_audit",
}
"""The services that keep a database, and where their migrations are."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """What is the same for every service of one box."""

    data: DataFolder
    settings: UpSettings
    agencies: Mapping[str, Agency]
    issuers: Sequence[IssuerConfig]
    clock: Clock
    bus: Bus
    databases: Mapping[str, Database]
    services_issuer: LocalIssuer

    def verifier(self) -> TokenVerifier:
        return TokenVerifier([*self.issuers, self.services_issuer.config()], self.clock)


@asynccontextmanager
async def one_box(
    data: DataFolder,
    settings: UpSettings,
    *,
    issuers: Sequence[IssuerConfig],
    agencies: Mapping[str, Agency],
    clock: Clock,
    extra: Mapping[str, ASGIApp] | None = None,
) -> AsyncIterator[Composition]:
    """All services, their databases migrated and their bus started; serve it inside the block.

    Args:
        data: opened, so that no other process has it.
        settings: of the box.
        issuers: whose tokens count.
        agencies: by id.
        clock: the host's.
        extra: further public apps by their first path segment.
    """
    async with AsyncExitStack() as resources:
        databases = {name: Database(data.database_url(name)) for name in PACKAGES}
        for name, database in databases.items():
            resources.push_async_callback(database.close)
            await migrate(database, PACKAGES[name])
        bus = EmbeddedBus(data.bus_file, clock)
        resources.push_async_callback(bus.close)
        await bus.start()
        box = Box(
            data=data,
            settings=settings,
            agencies=agencies,
            issuers=issuers,
            clock=clock,
            bus=bus,
            databases=databases,
            services_issuer=LocalIssuer(data.signing_key("services"), SERVICES_ISSUER, clock),
        )
        pool_key = _pool_key(data)
        _write_pools(box, pool_key)
        registry = _registry(box)
        access_policy = _access_policy(box)
        services = [
            registry,
            access_policy,
            _audit(box),
            _ingest(box, pool_key, registry),
            _relay(box, access_policy),
        ]
        yield compose("feedgate", services, extra)


def _pool_key(data: DataFolder) -> X25519PrivateKey:
    kept = data.key_bytes("pool.x25519", lambda: X25519PrivateKey.generate().private_bytes_raw())
    return X25519PrivateKey.from_private_bytes(kept)


def _write_pools(box: Box, pool_key: X25519PrivateKey) -> None:
    pool = {
        "name": box.settings.pool,
        "key_id": key_id_of(pool_key.public_key()),
        "public_key": public_key_text(pool_key.public_key()),
        "allowed_networks": list(box.settings.allowed_networks),
    }
    box.data.write("pools.yaml", yaml.safe_dump([pool]).encode())


def _registry(box: Box) -> Service:
    settings = RegistrySettings(
        owner_hash_key=box.data.secret("owner-hash"),
        pools_file=box.data.path / "pools.yaml",
        skew_s=box.settings.skew_s,
    )
    ports = RegistryPorts(
        database=box.databases["registry"],
        bus=box.bus,
        clock=box.clock,
        resolver=HostResolver(settings.resolve_timeout_s),
        verifier=box.verifier(),
        agencies=box.agencies,
        pools=load_pools(settings.pools_file),
    )
    return feedgate_registry.app.create_app(settings, ports)


def _access_policy(box: Box) -> Service:
    box.data.signing_key("ticket")
    settings = AccessPolicySettings(
        operator_pseudonym_key=box.data.secret("operator-pseudonym"),
        ticket_key_file=box.data.path / "keys" / "ticket.pem",
        packs_folder=box.settings.packs_folder,
        skew_s=box.settings.skew_s,
    )
    ports = AccessPolicyPorts(
        bus=box.bus,
        database=box.databases["access-policy"],
        verifier=box.verifier(),
        agencies=box.agencies,
        ticket_keys=load_ticket_keys([settings.ticket_key_file, *settings.more_ticket_key_files]),
        clock=box.clock,
    )
    return feedgate_access_policy.app.create_app(settings, ports)


def _audit(box: Box) -> Service:
    settings = AuditSettings(owner_hash_key=box.data.secret("owner-hash"))
    ports = AuditPorts(bus=box.bus, database=box.databases["audit"], verifier=box.verifier(), clock=box.clock)
    return feedgate_audit.app.create_app(settings, ports)


def _ingest(box: Box, pool_key: X25519PrivateKey, registry: Service) -> Service:
    settings = IngestSettings(
        pool=box.settings.pool,
        pool_private_key=private_key_text(pool_key),
        skew_s=box.settings.skew_s,
    )
    ports = feedgate_ingest.app.system_ports(
        settings,
        box.bus,
        box.clock,
        box.services_issuer.token_source("ingest", ["ingest"]),
        registry_transport=httpx.ASGITransport(registry.internal),
    )
    return feedgate_ingest.app.create_app(settings, ports)


def _relay(box: Box, access_policy: Service) -> Service:
    settings = RelaySettings(public_origin=box.settings.public_origin, skew_s=box.settings.skew_s)
    ports = RelayPorts(
        bus=box.bus,
        clock=box.clock,
        verifier=box.verifier(),
        ticket_keys=HttpTicketKeys("http://inside", transport=httpx.ASGITransport(access_policy.internal)),
    )
    return feedgate_relay.app.create_app(settings, ports)
