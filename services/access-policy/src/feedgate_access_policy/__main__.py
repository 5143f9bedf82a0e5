"""Access-policy alone, on Kafka and its own database: `python -m feedgate_access_policy`."""

import sys

from feedgate_access_policy.app import create_app
from feedgate_access_policy.ports import AccessPolicyPorts
from feedgate_access_policy.settings import AccessPolicySettings
from feedgate_access_policy.ticket import TicketKeyFile
from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning


def build(settings: AccessPolicySettings) -> Service:
    """The service with everything it uses."""
    clock = SystemClock()
    ports = AccessPolicyPorts(
        bus=KafkaBus(kafka_settings(settings), clock, service="access-policy"),
        database=Database(settings.require_database_url()),
        verifier=TokenVerifier(settings.load_issuers(), clock, trust=settings.load_trust()),
        agencies=settings.load_agencies(),
        ticket_keys=TicketKeyFile(settings.ticket_key_file),
        clock=clock,
    )
    service = create_app(settings, ports)
    return owning(service, bus=ports.bus, verifier=ports.verifier, database=ports.database)


if __name__ == "__main__":
    sys.exit(run(AccessPolicySettings, build))
