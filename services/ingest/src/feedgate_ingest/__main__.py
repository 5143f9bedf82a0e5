"""Ingest alone, on Kafka: `python -m feedgate_ingest`."""

import sys

from feedgate_ingest.app import create_app, system_ports
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.bus.kafka import KafkaBus, kafka_settings
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.server import run
from feedgate_kit.service import Service
from feedgate_kit.settings import SettingsError
from feedgate_kit.standalone import owning
from feedgate_kit.tokens import ClientCredentials


def build(settings: IngestSettings) -> Service:
    """The service with everything it uses.

    Raises:
        SettingsError: what it logs in with is not set.
    """
    if not settings.token_url or settings.client_secret is None:
        missing = "client_secret" if settings.token_url else "token_url"
        raise SettingsError(f"{settings.setting_name(missing)} is not set; sources are fetched with a token")
    clock = SystemClock()
    bus = KafkaBus(
        # One worker per pool: back under its name in time, it keeps its partitions.
        kafka_settings(settings, member=f"ingest-{settings.pool}"),
        clock,
    )
    token = ClientCredentials(
        settings.token_url, settings.client_id, settings.client_secret.get_secret_value(), clock
    )
    service = create_app(settings, system_ports(settings, bus, clock, token))
    return owning(service, bus=bus, verifier=TokenVerifier([], clock))  # nobody logs in here


if __name__ == "__main__":
    sys.exit(run(IngestSettings, build))
