"""What is done to a service's database once it was restored from a backup, before the service starts again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate.service_databases import PACKAGES, ServiceDatabaseError, database_errors
from feedgate_access_policy import restoration as of_grants
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.tables import OUTBOX as GRANT_OUTBOX
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.dangers import refuse_dangers
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.migration import schema_of
from feedgate_kit.outbox import Outbox, OutboxTables
from feedgate_kit.published import Published, read_published
from feedgate_kit.publisher_lock import LockSession, lock_name, publisher_lock
from feedgate_kit.settings import ServiceSettings, load_settings
from feedgate_kit.state_copy import protobuf_decoder
from feedgate_kit.topics import CAMERA_STATE, GRANT_STATE
from feedgate_registry import restoration as of_cameras
from feedgate_registry.settings import RegistrySettings
from feedgate_registry.tables import OUTBOX as CAMERA_OUTBOX

LOCK_WITHIN_S: Final = 5.0
"""Above what the lock outlives a publisher that was stopped (`publisher_lock.IDLE_TIMEOUT_S`)."""

Restore = Callable[
    [AsyncConnection, Outbox, Mapping[str, Published[Any]], int, ServiceSettings], Awaitable[Counter[str]]
]


class StillPublishingError(FeedgateError):
    """A process of the service runs; nothing was changed."""


@dataclass(frozen=True, slots=True)
class _Kind:
    settings: type[ServiceSettings]
    outbox: OutboxTables
    topic: str
    message: type[Message]
    restore: Restore


async def _cameras(
    connection: AsyncConnection,
    outbox: Outbox,
    published: Mapping[str, Published[CameraState]],
    now_us: int,
    _: ServiceSettings,
) -> Counter[str]:
    return await of_cameras.restore(connection, outbox, published, now_us)


async def _grants(
    connection: AsyncConnection,
    outbox: Outbox,
    published: Mapping[str, Published[GrantState]],
    now_us: int,
    settings: ServiceSettings,
) -> Counter[str]:
    return await of_grants.restore(connection, outbox, settings.load_agencies(), published, now_us)


KINDS: Final = {
    "registry": _Kind(RegistrySettings, CAMERA_OUTBOX, CAMERA_STATE, CameraState, _cameras),
    "access-policy": _Kind(AccessPolicySettings, GRANT_OUTBOX, GRANT_STATE, GrantState, _grants),
}


async def restored_service(service: str) -> Counter[str]:
    """Bring a restored database in front of the service's state topic; how often each event came of it.

    All of it happens, or nothing. Doing it again changes nothing.

    Args:
        service: its settings are read as it would read them itself.

    Raises:
        SettingsError: they cannot be used.
        StillPublishingError: the service runs.
        ServiceDatabaseError: the database cannot be reached, refused, or is not at this version's revision.
        BusError, TopicError: the topic was not read to its end.
    """
    kind = KINDS[service]
    settings = load_settings(kind.settings)
    refuse_dangers(settings)
    clock = SystemClock()
    async with AsyncExitStack() as opened:
        opened.enter_context(database_errors(f"{service}'s database cannot be brought up to date"))
        database = Database(settings.require_database_url())
        opened.push_async_callback(database.close)
        if (schema := await schema_of(database, PACKAGES[service])) != "current":
            raise ServiceDatabaseError(
                f"{service}'s database has {'an older' if schema == 'older' else 'a newer'} schema;"
                f" allowed: this version's. Run `feedgate migrate {service}` first"
            )
        # There the process is the lock, and nothing would show that one runs.
        if database.dialect == "sqlite":
            raise ServiceDatabaseError(f"{service}'s database is SQLite; allowed: PostgreSQL")
        session = await opened.enter_async_context(_locked(database, service))
        bus = KafkaBus(kafka_settings(settings), clock, service=service)
        opened.push_async_callback(bus.close)
        await bus.start()
        published = await read_published(bus.state_log(kind.topic), protobuf_decoder(kind.message))
        outbox = Outbox(kind.outbox, service, clock)
        async with database.begin() as connection:
            events = await kind.restore(connection, outbox, published, clock.now_us(), settings)
            await session.rows(text("SELECT 1"))  # the lock was held to here
    return events


@asynccontextmanager
async def _locked(database: Database, service: str) -> AsyncIterator[LockSession]:
    """The publisher's lock, waited for no longer than one that stopped may still hold it."""
    async with AsyncExitStack() as holding:
        try:
            async with asyncio.timeout(LOCK_WITHIN_S):
                session = await holding.enter_async_context(publisher_lock(database, lock_name(service)))
        except TimeoutError:
            raise StillPublishingError(
                f"{service} still publishes: its lock was not free within {LOCK_WITHIN_S:g} s;"
                f" stop every {service} first (docs/guide/operations-restore.md)"
            ) from None
        yield session
