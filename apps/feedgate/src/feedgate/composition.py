"""All services in one process, on the embedded backs, behind one origin."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr
from starlette.types import ASGIApp

import feedgate_access_policy.app
import feedgate_audit.app
import feedgate_ingest.app
import feedgate_registry.app
import feedgate_relay.app
from feedgate.data_folder import DataFolder
from feedgate.service_databases import PACKAGES, database_errors
from feedgate.settings import UpSettings
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.ticket import TicketKeyFile
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
from feedgate_kit.resolver import SystemResolver
from feedgate_kit.sealing import key_id_of, private_key_text, public_key_text
from feedgate_kit.service import Service
from feedgate_kit.tokens import LocalIssuer
from feedgate_registry.jurisdictions import load_jurisdictions
from feedgate_registry.pools import load_pools
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.settings import RegistrySettings
from feedgate_relay.adapters.http_ticket_keys import HttpTicketKeys
from feedgate_relay.ports import RelayPorts
from feedgate_relay.settings import RelaySettings

SERVICES_ISSUER: Final = "urn:feedgate:one-box"
"""Issuer of the tokens that this process's own services show each other."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What this box alone knows, the same at every start."""

    owner_hash: str
    operator_pseudonym: str
    pool: X25519PrivateKey
    services: Ed25519PrivateKey
    ticket_file: Path

    @classmethod
    def of(cls, data: DataFolder) -> Self:
        """Those in the folder, made if it is new."""
        pool = data.key_bytes("pool.x25519", lambda: X25519PrivateKey.generate().private_bytes_raw())
        data.signing_key("ticket")
        return cls(
            owner_hash=data.secret("owner-hash"),
            operator_pseudonym=data.secret("operator-pseudonym"),
            pool=X25519PrivateKey.from_private_bytes(pool),
            services=data.signing_key("services"),
            ticket_file=data.keys / "ticket.pem",
        )


@dataclass(frozen=True, kw_only=True)
class Box:
    """What is the same for every service of one box."""

    data: DataFolder
    keys: Keys
    settings: UpSettings
    agencies: Mapping[str, Agency]
    clock: Clock
    bus: Bus
    databases: Mapping[str, Database]
    services_issuer: LocalIssuer
    verifier: TokenVerifier


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
        # Before the databases: no database is ever older than the keys to what is in it.
        keys = Keys.of(data)
        services_issuer = LocalIssuer(keys.services, SERVICES_ISSUER, clock)
        believed = TokenVerifier([*issuers, services_issuer.config()], clock, trust=settings.load_trust())
        verifier = await resources.enter_async_context(believed)
        data.make_databases(PACKAGES)
        databases = {name: Database(data.database_url(name)) for name in PACKAGES}
        for name, database in databases.items():
            resources.push_async_callback(database.close)
            with database_errors(f"`{data.database_file(name)}` cannot be used"):
                await migrate(database, PACKAGES[name])
        bus = EmbeddedBus(data.bus_file, clock)
        resources.push_async_callback(bus.close)
        await bus.start()
        box = Box(
            data=data,
            keys=keys,
            settings=settings,
            agencies=agencies,
            clock=clock,
            bus=bus,
            databases=databases,
            services_issuer=services_issuer,
            verifier=verifier,
        )
        _write_pools(box)
        registry = _registry(box)
        access_policy = _access_policy(box)
        services = [registry, access_policy, _audit(box), _ingest(box, registry), _relay(box, access_policy)]
        yield compose("feedgate", services, extra)


def _write_pools(box: Box) -> None:
    public_key = box.keys.pool.public_key()
    pool = {
        "name": box.settings.pool,
        "key_id": key_id_of(public_key),
        "public_key": public_key_text(public_key),
        "allowed_networks": list(box.settings.allowed_networks),
    }
    box.data.write("pools.yaml", yaml.safe_dump([pool]).encode())


def _registry(box: Box) -> Service:
    settings = RegistrySettings(
        owner_hash_key=SecretStr(box.keys.owner_hash),
        pools_file=box.data.path / "pools.yaml",
        packs_folder=box.settings.packs_folder,
        skew_s=box.settings.skew_s,
    )
    ports = RegistryPorts(
        database=box.databases["registry"],
        bus=box.bus,
        clock=box.clock,
        resolver=SystemResolver(settings.resolve_timeout_s),
        verifier=box.verifier,
        agencies=box.agencies,
        pools=load_pools(settings.pools_file),
        jurisdictions=load_jurisdictions(settings.packs_folder),
    )
    return feedgate_registry.app.create_app(settings, ports)


def _access_policy(box: Box) -> Service:
    settings = AccessPolicySettings(
        operator_pseudonym_key=SecretStr(box.keys.operator_pseudonym),
        ticket_key_file=box.keys.ticket_file,
        packs_folder=box.settings.packs_folder,
        skew_s=box.settings.skew_s,
    )
    ports = AccessPolicyPorts(
        bus=box.bus,
        database=box.databases["access-policy"],
        verifier=box.verifier,
        agencies=box.agencies,
        ticket_keys=TicketKeyFile(settings.ticket_key_file),
        clock=box.clock,
    )
    return feedgate_access_policy.app.create_app(settings, ports)


def _audit(box: Box) -> Service:
    settings = AuditSettings(owner_hash_key=SecretStr(box.keys.owner_hash))
    ports = AuditPorts(bus=box.bus, database=box.databases["audit"], verifier=box.verifier, clock=box.clock)
    return feedgate_audit.app.create_app(settings, ports)


def _ingest(box: Box, registry: Service) -> Service:
    settings = IngestSettings(
        pool=box.settings.pool,
        pool_private_key=SecretStr(private_key_text(box.keys.pool)),
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
        verifier=box.verifier,
        ticket_keys=HttpTicketKeys(
            "http://inside",
            box.services_issuer.token_source("relay", ["relay"]),
            transport=httpx.ASGITransport(access_policy.internal),
        ),
    )
    return feedgate_relay.app.create_app(settings, ports)
