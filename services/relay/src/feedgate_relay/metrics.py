"""What the relay measures. No label names a camera, grant, person, agency or address (design §2.13)."""

from collections import Counter as Counts
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_kit.metrics import DURATION_BUCKETS_S
from feedgate_kit.topics import CAMERA_STATE, FEED_STATE, GRANT_STATE
from feedgate_relay.admission import Refusal
from feedgate_relay.reasons import Reason

Samples = Callable[[], Iterable[tuple[str, float]]]

DARK_FOR_NOW: Final = (
    Reason.HEARTBEAT_OLD,
    Reason.RECORD_MISSING,
    Reason.RECORD_UNREADABLE,
    Reason.RECORD_UNREAD,
    Reason.PAUSED,
    Reason.OUT_OF_HOURS,
    Reason.NOT_YET_OPEN,
)
"""Why an open view may show nothing: 0 is said, too, so that an alert sees the first."""

AT_THE_DOOR: Final = (
    Reason.TICKET_MISSING,
    Reason.TICKET_INVALID,
    Reason.TICKET_USED,
    Reason.TICKET_BEFORE_START,
    Reason.TICKET_KEYS_UNAVAILABLE,
    Reason.TICKET_USE_UNKNOWN,
    Reason.SECRET_REFUSED,
    Reason.ORIGIN_REFUSED,
    Reason.SUBPROTOCOL_MISSING,
)
UNITS_DROPPED: Final = ("unreadable", "repeated", "lost", "not_newest", "no_init_segment")
KINDS_LOST: Final = ("audit", *(field.name for field in FrameEvent.DESCRIPTOR.oneofs_by_name["event"].fields))

DARK_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0)


class RelayMetrics:
    """The operator's reference page for the relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.pictures_in = Counter(
            "relay_pictures_in",
            "Access units read from the media topic and taken. At 0 with open views: look at ingest.",
            registry=registry,
        )
        self.units_dropped = Counter(
            "relay_units_dropped",
            "Access units read and not taken: unreadable, repeated, lost (the rest of its GOP is dropped), "
            "not_newest, no_init_segment. `unreadable` above 0: ingest and relay disagree on the contract.",
            ["reason"],
            registry=registry,
        )
        self.units_missed = Counter(
            "relay_units_missed",
            "Access units that never came, by the gaps they left. Rising: the media topic drops, or this process "
            "is so short of time that it falls behind what is kept.",
            registry=registry,
        )
        self.pictures_out = Counter(
            "relay_pictures_out",
            "Pictures handed to viewers' sockets, one for each viewer. Flat while pictures come in and views are open: "
            "see relay_pictures_refused_total and relay_views_dark.",
            registry=registry,
        )
        self.bytes_out = Counter(
            "relay_bytes_out",
            "Bytes of pictures handed to viewers' sockets. Near the line's rate: viewers become slow, add a relay.",
            registry=registry,
        )
        self.pictures_refused = Counter(
            "relay_pictures_refused",
            "Pictures admission refused, one for each viewer. `not_fresh`: see the heartbeat age. "
            "`too_old`: ingest or the media topic lags. `before_window` is usual just after a grant opens.",
            ["reason"],
            registry=registry,
        )
        self.pictures_skipped = Counter(
            "relay_pictures_skipped",
            "Pictures dropped because their viewer was too slow, one for each. Rising: viewers' lines.",
            registry=registry,
        )
        self.delivery_latency = Histogram(
            "relay_delivery_latency_seconds",
            "From a picture's receive time at ingest to the last socket it was written to at once; "
            "viewers it had to wait for do not count. Rising: the media topic or this process is short of time.",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self.withdrawal_to_dark = Histogram(
            "relay_withdrawal_to_dark_seconds",
            "From the commit of the record that shut a view (`ce_time`) until nothing more of it could reach "
            "the kernel: the later of its window's closing and its last picture byte. Above 0.25: alert.",
            buckets=DARK_BUCKETS_S,
            registry=registry,
        )
        self.views_open = Gauge(
            "relay_views_open",
            "Views open now. Near MAXIMUM_VIEWS: add a relay, further viewers are refused.",
            registry=registry,
        )
        self.views_ended = Counter(
            "relay_views_ended",
            "Views that ended, by reason. `connection_lost` or `viewer_stalled` in bursts: the gateway or lines. "
            "`audit_unavailable`: the bus takes no audit records, no view may begin.",
            ["reason"],
            registry=registry,
        )
        self.views_refused = Counter(
            "relay_views_refused",
            "Sockets refused at the door, by reason. `ticket_used` rising: somebody replays tickets.",
            ["reason"],
            registry=registry,
        )
        self.notices = Counter(
            "relay_notices",
            "Notices told to viewers, by code. Many `not_fresh` or `camera_lost`: people see nothing, see the "
            "heartbeat age and ingest_cameras.",
            ["code"],
            registry=registry,
        )
        self.leases = Counter(
            "relay_leases",
            "Leases sent to viewers' pages, one a second for each. Fewer than views: this process is short of time; "
            "pages cover themselves after 3 s without.",
            registry=registry,
        )
        self.dark_acknowledged = Counter(
            "relay_dark_acknowledged",
            "Times a page said that it had covered its tile. Far fewer than stops of views: pages are old or cut off, "
            "and owners lack that proof.",
            registry=registry,
        )
        self.records_unreadable = Counter(
            "relay_records_unreadable",
            "Records of state topics that did not parse; their key is denied. Above 0: find the producer.",
            ["topic"],
            registry=registry,
        )
        self.events_lost = Counter(
            "relay_events_lost",
            "Frame events, notices and audit records given up, by kind. Above 0: the bus was away for long.",
            ["kind"],
            registry=registry,
        )
        self.events_waiting = Gauge(
            "relay_events_waiting",
            "Frame events, notices and audit records not yet acknowledged by the bus. Growing: the bus is away; beyond "
            "some thousands they are lost.",
            registry=registry,
        )
        # From the start, so that an alert sees the first of each, and a panel shows 0 and not nothing.
        for counter, values in (
            (self.units_dropped, UNITS_DROPPED),
            (self.pictures_refused, Refusal),
            (self.views_refused, (*AT_THE_DOOR, Reason.TOO_MANY_VIEWS)),
            (self.records_unreadable, (CAMERA_STATE, GRANT_STATE, FEED_STATE)),
            (self.events_lost, KINDS_LOST),
        ):
            for value in values:
                counter.labels(value)
        self._heartbeats = _Heartbeats(registry)
        self._dark_views = _DarkViews(registry)

    def count_reason(self, reason: str) -> str:
        """A reason as a label: what follows its colon is free text of another service."""
        return reason.partition(":")[0]

    def watch_heartbeats(self, ages: Samples, offsets: Samples) -> None:
        """Report the age of each state copy's newest heartbeat, and its offset when read, when asked."""
        self._heartbeats.ages, self._heartbeats.offsets = ages, offsets

    def watch_dark_views(self, reasons: Callable[[], Iterable[str]]) -> None:
        """Report open views that show nothing, by why not, when asked."""
        self._dark_views.reasons = lambda: map(self.count_reason, reasons())


class _DarkViews(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self.reasons: Callable[[], Iterable[str]] = tuple
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "relay_views_dark",
            "Open views whose right shows nothing now, by reason. `paused`, `out_of_hours` and `not_yet_open` are the "
            "owner's will. `heartbeat_old`: see the heartbeat age; `record_*`: see unreadable records.",
            labels=["reason"],
        )
        counts = Counts({reason.value: 0 for reason in DARK_FOR_NOW})
        counts.update(self.reasons())
        for reason, count in counts.items():
            family.add_metric([reason], count)
        yield family


class _Heartbeats(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self.ages: Samples = tuple
        self.offsets: Samples = tuple
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield _by_topic(
            "relay_heartbeat_age_seconds",
            "Age of the newest heartbeat read from a state topic, by this host's clock. Above 2: alert, "
            "at 4 every picture is dark. Below 0: clocks differ. Inf: none was read yet.",
            self.ages(),
        )
        yield _by_topic(
            "relay_heartbeat_offset_seconds",
            "This host's clock less the `as_of` of a topic's newest heartbeat, at its reading: its way here and the "
            "clocks' difference; none before the first. Its least of some minutes above 0.25 or below -0.1: clocks "
            "differ, look at NTP on both hosts.",
            self.offsets(),
        )


def _by_topic(name: str, documentation: str, samples: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=["topic"])
    for topic, value in samples:
        family.add_metric([topic], value)
    return family
