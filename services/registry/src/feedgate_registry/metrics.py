"""What registry measures. No label names a camera, an owner, an agency or an address."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.metrics import DURATION_BUCKETS_S


class RegistryMetrics:
    """Registry's page of the operator's reference. It is told by the publisher, too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Put every metric on `registry`."""
        self.acts = Counter(
            "registry_owner_acts_total",
            "Owners' acts put on record; a repeat that changes nothing is none."
            " A burst of `withdraw` or `pause`: ask what owners were told.",
            ["act"],
            registry=registry,
        )
        self.stop_seconds = Histogram(
            "registry_stop_duration_seconds",
            "From an owner's pause, withdrawal or removal reaching us to its commit, but for those that are owed."
            " Above 0.5 s the promise of 5 s to dark has no room left: look at the database.",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.stops_owed = Gauge(
            "registry_stops_owed",
            "Owners' stops that are not on record and that this process tries again. Above 0: nothing is"
            " vouched for, every picture is dark until they are on record; look at the database, its disk first.",
            registry=registry,
        )
        self.sources_refused = Counter(
            "registry_sources_refused_total",
            "RTSP sources refused when given. A burst of address classes: somebody is probing networks.",
            ["reason"],
            registry=registry,
        )
        self.sources_released = Counter(
            "registry_sources_released_total",
            "Requests of ingest for a sealed source. Many for few cameras: cameras drop their connections.",
            ["result"],
            registry=registry,
        )
        self.expiries = Counter(
            "registry_authorisations_expired_total",
            "Authorisations that reached their expiry. A burst: many were made at once a year ago; owners may want to"
            " know.",
            registry=registry,
        )
        self.feed_records_unreadable = Counter(
            "registry_feed_records_unreadable_total",
            "Feed records that did not parse. Any: ingest is of a version this registry cannot read.",
            registry=registry,
        )
        self.heartbeat_at = Gauge(
            "registry_heartbeat_timestamp_seconds",
            "`as_of` of the last heartbeat acknowledged. `time() -` this above 2: pictures go dark at 4.",
            registry=registry,
        )
        self.publisher_active = Gauge(
            "registry_publisher_active",
            "1 in the process that publishes, 0 in one that stands by. Their sum is 1 but for moments; 0:"
            " no right is vouched for, pictures go dark within 5 s.",
            registry=registry,
        )
        self.publisher_terms = Counter(
            "registry_publisher_terms_total",
            "Times this process became the publisher. Rising without a restart: its database session or the bus"
            " fails again and again, read its log.",
            registry=registry,
        )
        self.records_waiting = Gauge(
            "registry_events_waiting",
            "Committed audit records and decisions that the bus has not taken yet, counted up to 200 and those that"
            " cannot be sent. Above 0 for long: the bus is away; nothing is lost, but the ledger is behind.",
            registry=registry,
        )
        self.records_published = Counter(
            "registry_state_records_published_total",
            "Camera records sent. `again` is true for those that had been acknowledged and are sent anew"
            " because the topic held an older one: any after start-up is a second publisher that wrote late.",
            ["again"],
            registry=registry,
        )

    def acted(self, act: str) -> None:
        """An owner's act is on record."""
        self.acts.labels(act).inc()

    def stopped(self, duration_s: float) -> None:
        """An owner asked to stop something, and this much later that was on record."""
        self.stop_seconds.observe(duration_s)

    def publishing(self, active: bool) -> None:
        """This process begins or ends to publish."""
        self.publisher_active.set(active)
        if active:
            self.publisher_terms.inc()

    def events_waiting(self, count: int) -> None:
        self.records_waiting.set(count)

    def heartbeat_sent(self, as_of_us: int) -> None:
        self.heartbeat_at.set(as_of_us / MICROSECONDS)

    def records_sent(self, count: int, *, again: bool) -> None:
        self.records_published.labels(str(again).lower()).inc(count)
