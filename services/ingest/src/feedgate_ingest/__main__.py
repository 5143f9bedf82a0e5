"""Ingest alone, on Kafka: `python -m feedgate_ingest`."""

import sys

from feedgate_ingest.app import create_app, system_ports
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.standalone import owning


def build(settings: IngestSettings) -> Service:
    """The service with everything it uses.

    Raises:
        SettingsError: what it logs in with is not set.
    """
    clock = SystemClock()
    bus = KafkaBus(
        # Back under its name in time, a worker keeps its cameras.
        kafka_settings(settings, member=settings.worker_id),
        clock,
        service="ingest",
    )
    token = settings.load_token_source(clock, settings.load_trust())
    service = create_app(settings, system_ports(settings, bus, clock, token))
    return owning(service, bus=bus, verifier=TokenVerifier([], clock))  # nobody logs in here


if __name__ == "__main__":
    sys.exit(run(IngestSettings, build))
