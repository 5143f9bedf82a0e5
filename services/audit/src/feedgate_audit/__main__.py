"""Audit alone, on Kafka and PostgreSQL: `python -m feedgate_audit`."""

import sys

from feedgate_audit.app import create_app
from feedgate_audit.ports import AuditPorts
from feedgate_audit.settings import AuditSettings
from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning


def build(settings: AuditSettings) -> Service:
    """The service with everything it uses."""
    clock = SystemClock()
    ports = AuditPorts(
        bus=KafkaBus(kafka_settings(settings), clock, service="audit"),
        database=Database(settings.require_database_url()),
        verifier=TokenVerifier(settings.load_issuers(), clock, trust=settings.load_trust()),
        clock=clock,
    )
    service = create_app(settings, ports)
    return owning(service, bus=ports.bus, verifier=ports.verifier, database=ports.database)


if __name__ == "__main__":
    sys.exit(run(AuditSettings, build))
