"""The relay alone, on Kafka: `python -m feedgate_relay`."""

import sys

from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning
from feedgate_relay.adapters.http_ticket_keys import HttpTicketKeys
from feedgate_relay.app import create_app
from feedgate_relay.ports import RelayPorts
from feedgate_relay.settings import RelaySettings


def build(settings: RelaySettings) -> Service:
    """The service with everything it uses.

    Raises:
        SettingsError: what it logs in with is not set.
    """
    clock = SystemClock()
    trust = settings.load_trust()
    ports = RelayPorts(
        bus=KafkaBus(kafka_settings(settings), clock, service="relay"),
        clock=clock,
        verifier=TokenVerifier(settings.load_issuers(), clock, trust=trust),
        ticket_keys=HttpTicketKeys(
            settings.access_policy_internal_url, settings.load_token_source(clock, trust), trust=trust
        ),
    )
    return owning(create_app(settings, ports), bus=ports.bus, verifier=ports.verifier)


if __name__ == "__main__":
    sys.exit(run(RelaySettings, build))
