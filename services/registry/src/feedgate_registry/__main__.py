"""Registry alone, on Kafka and PostgreSQL: `python -m feedgate_registry`."""

import sys

from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.resolver import SystemResolver
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning
from feedgate_registry.app import create_app
from feedgate_registry.jurisdictions import load_jurisdictions
from feedgate_registry.pools import load_pools
from feedgate_registry.ports import RegistryPorts
from feedgate_registry.settings import RegistrySettings


def build(settings: RegistrySettings) -> Service:
    """The service with everything it uses."""
    clock = SystemClock()
    ports = RegistryPorts(
        database=Database(settings.require_database_url()),
        bus=KafkaBus(kafka_settings(settings), clock, service="registry"),
        clock=clock,
        resolver=SystemResolver(settings.resolve_timeout_s),
        verifier=TokenVerifier(settings.load_issuers(), clock, trust=settings.load_trust()),
        agencies=settings.load_agencies(),
        pools=load_pools(settings.pools_file),
        jurisdictions=load_jurisdictions(settings.packs_folder),
    )
    service = create_app(settings, ports)
    return owning(service, bus=ports.bus, verifier=ports.verifier, database=ports.database)


if __name__ == "__main__":
    sys.exit(run(RegistrySettings, build))
