"""Audit, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from feedgate_audit.api import routes
from feedgate_audit.collector import TOPICS, Collector, lag_s
from feedgate_audit.metrics import AuditMetrics
from feedgate_audit.ports import AuditPorts
from feedgate_audit.settings import AuditSettings
from feedgate_audit.store import AuditStore
from feedgate_kit.database_watch import DatabaseWatch
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.supervise import background

NAME = "audit"
PACKAGE = "feedgate_audit"
DATABASE_WATCH_S = 2.0


def create_app(settings: AuditSettings, ports: AuditPorts) -> Service:
    """The service; nothing runs before its lifespan is entered."""
    prometheus = CollectorRegistry()
    metrics = AuditMetrics(prometheus)
    store = AuditStore(ports.database, ports.clock)
    public = create_public_app(NAME, ports.verifier)
    public.include_router(routes(store, settings.owner_hash_key.get_secret_value().encode()))
    watch = DatabaseWatch(ports.database, PACKAGE, DATABASE_WATCH_S)

    collectors = [Collector(ports.bus, store, metrics, topic) for topic in TOPICS]
    metrics.lag_seconds.set_function(lambda: lag_s(collectors, ports.clock.now_us()))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await watch.refuse_newer()
        tasks = {f"collect {each.topic}": each.run for each in collectors}
        tasks["database watch"] = watch.run
        async with background(tasks, ports.clock):
            yield

    return Service(
        name=NAME,
        public=public,
        internal=create_internal_app(NAME, ports.verifier),
        registry=prometheus,
        lifespan=lifespan,
        readiness=Readiness(
            {
                "database": lambda: watch.answers,
                "the database at this version's revision": lambda: watch.is_migrated,
            }
        ),
    )
