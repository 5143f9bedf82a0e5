"""What operations watch of audit. No label names a camera, grant, person, agency or address."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AuditMetrics:
    """Metrics of one audit service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter(
            "audit_entries_total",
            "Facts added to the chain, by type. Flat while views run: look at audit's log and its lag.",
            ["type"],
            registry=registry,
        )
        self.repeated = Counter(
            "audit_repeated_records_total",
            "Facts that came again and were already there. Some after each restart are normal.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "audit_dead_letters_total",
            "Records that were no fact. Any: a producer is broken; read the topic's `.dlq`.",
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "audit_lag_seconds",
            "Age of the oldest fact read from the bus and not yet in the chain; 0 when all are. Above 60: the ledger is"
            " behind what was shown, look at audit's database.",
            registry=registry,
        )
