"""Registry, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from feedgate_kit.database_watch import DatabaseWatch
from feedgate_kit.outbox import Outbox
from feedgate_kit.owed_stops import OwedStops
from feedgate_kit.publisher import Publisher
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.supervise import background
from feedgate_kit.topics import CAMERA_STATE, FEED_STATE
from feedgate_registry.account import accounts, owners
from feedgate_registry.acts import OwnerActs
from feedgate_registry.authorisation_api import authorisation_routes
from feedgate_registry.camera_api import camera_routes
from feedgate_registry.catalogue_api import catalogue_routes
from feedgate_registry.expiry import record_expiries
from feedgate_registry.feeds import Feeds
from feedgate_registry.handover import SourceHandover
from feedgate_registry.intake import SourceIntake
from feedgate_registry.internal_api import internal_routes
from feedgate_registry.metrics import RegistryMetrics
from feedgate_registry.owner_stops import OwnerStops
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.record import OwnerRecord
from feedgate_registry.refusal_problems import ERRORS, install_refusals
from feedgate_registry.settings import RegistrySettings
from feedgate_registry.tables import OUTBOX

NAME = "registry"
PACKAGE = "feedgate_registry"
DATABASE_WATCH_S = 2.0

logger = structlog.get_logger(__name__)


def create_app(settings: RegistrySettings, ports: RegistryPorts) -> Service:
    """The service; nothing runs before its lifespan is entered."""
    prometheus = CollectorRegistry()
    metrics = RegistryMetrics(prometheus)
    outbox = Outbox(OUTBOX, NAME, ports.clock)
    acts = OwnerActs(
        database=ports.database,
        outbox=outbox,
        clock=ports.clock,
        intake=SourceIntake(ports.resolver, settings.own_address_ranges),
        pools=ports.pools,
        jurisdictions=ports.jurisdictions,
        most_authorisations=settings.most_authorisations,
        acted=metrics.acted,
    )
    owed = OwedStops(ports.database, NAME)
    metrics.stops_owed.set_function(lambda: owed.count)
    stops = OwnerStops(acts, owed, metrics, ports.clock)
    handover = SourceHandover(database=ports.database, outbox=outbox, clock=ports.clock, pools=ports.pools)
    record = OwnerRecord(ports.database, ports.clock)
    feeds = Feeds(metrics)
    publisher = Publisher(
        database=ports.database,
        outbox=outbox,
        bus=ports.bus,
        clock=ports.clock,
        state_topic=CAMERA_STATE,
        owed=owed,
        metrics=metrics,
    )
    watch = DatabaseWatch(ports.database, PACKAGE, DATABASE_WATCH_S)

    hash_key = settings.owner_hash_key.get_secret_value().encode()
    account, owner = accounts(acts, hash_key), owners(hash_key)
    public = create_public_app(NAME, ports.verifier, ERRORS)
    public.include_router(camera_routes(account, owner, acts, stops, record, feeds))
    public.include_router(
        authorisation_routes(account, owner, acts, stops, record, ports.agencies, ports.clock)
    )
    public.include_router(catalogue_routes(account, ports.agencies, ports.pools, ports.jurisdictions))
    internal = create_internal_app(NAME, ports.verifier, ERRORS)
    internal.include_router(internal_routes(handover, metrics))
    for app in (public, internal):
        install_refusals(app, metrics)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await watch.refuse_newer()
        # While a source key is replaced, operations look here whether this registry has the new one.
        logger.info(
            "sources are sealed to", key_ids={pool.name: pool.key_id for pool in ports.pools.values()}
        )
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "publisher": publisher.run,
            "owed stops": owed.make_good,
            "owed stops told": owed.tell,
            "feed follower": lambda: feeds.follow(ports.bus.state_log(FEED_STATE)),
            "expiry": partial(record_expiries, acts, metrics, settings.expiry_interval_s),
            "database watch": watch.run,
        }
        async with background(tasks, ports.clock):
            yield

    return Service(
        name=NAME,
        public=public,
        internal=internal,
        registry=prometheus,
        lifespan=lifespan,
        readiness=Readiness(
            {
                "database": lambda: watch.answers,
                "the database at this version's revision": lambda: watch.is_migrated,
            }
        ),
    )
