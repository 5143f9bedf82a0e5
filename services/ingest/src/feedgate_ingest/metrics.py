"""Every metric of ingest. No label names a camera, a source, an agency or a person."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from feedgate_ingest.reasons import Phase


class PlainCounter(Collector):
    """A counter without a lock, for what happens for every picture and in the event loop alone."""

    def __init__(self, name: str, documentation: str, *, registry: CollectorRegistry) -> None:
        self.count = 0
        self._name = name
        self._documentation = documentation
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._documentation, value=self.count)


class IngestMetrics:
    """One set for each service, on its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.access_units_published = PlainCounter(
            "ingest_access_units_published_total",
            "Pictures the bus took. Falling while views are open: look at ingest_cameras by phase.",
            registry=registry,
        )
        self.access_units_dropped = Counter(
            "ingest_access_units_dropped_total",
            "Pictures read and not published. feed_full: the bus is too slow; before_keyframe and hung_up are"
            " in the nature of things.",
            ["reason"],
            registry=registry,
        )
        self.runs_ended = Counter(
            "ingest_runs_ended_total",
            "Connections that ended or did not come to be, by reason. Many of one reason at once:"
            " the network, not the cameras.",
            ["reason"],
            registry=registry,
        )
        self.erasures = Counter(
            "ingest_erasures_total",
            "Streams whose owner stopped them while pictures lay on the bus. given_up: the bus did not answer,"
            " and they expired by themselves.",
            ["result"],
            registry=registry,
        )
        self.cameras = Gauge(
            "ingest_cameras",
            "Demanded streams by phase. retrying: see ingest_runs_ended_total; refused: owners must act.",
            ["phase"],
            registry=registry,
        )
        self.camera_state_age = Gauge(
            "ingest_camera_state_age_seconds",
            "Age of the newest heartbeat read from the camera state topic. At 4 every camera is hung up;"
            " look at registry and the bus.",
            registry=registry,
        )
        self.unreadable_records = Gauge(
            "ingest_unreadable_camera_states",
            "Camera records that did not parse. Each denies its camera: its producer is newer than this.",
            registry=registry,
        )
        self.camera_state_offset = Gauge(
            "ingest_camera_state_offset_seconds",
            "This host's clock less the `as_of` of the newest camera heartbeat, at its reading: its way here and the"
            " clocks' difference; NaN before the first. Its least of some minutes above 0.25 or below -0.1: clocks"
            " differ, look at NTP on both hosts.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "ingest_dead_letters_total",
            "Demands that could not be read or handled and were set aside. Any: a relay is of another version;"
            " read the topic's `.dlq`.",
            registry=registry,
        )
        for reason in ("feed_full", "before_keyframe", "hung_up"):
            self.access_units_dropped.labels(reason)
        for result in ("done", "given_up"):
            self.erasures.labels(result)
        for phase in Phase:
            self.cameras.labels(phase.value)

    def observe_camera_state(
        self, age_s: Callable[[], float], offset_s: Callable[[], float], unreadable: Callable[[], float]
    ) -> None:
        """Read these whenever the metrics are asked for."""
        self.camera_state_offset.set_function(offset_s)
        self.camera_state_age.set_function(age_s)
        self.unreadable_records.set_function(unreadable)
