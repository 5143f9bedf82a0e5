"""The metrics every service has, and how registries become one page."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""One set for all durations of requests and deliveries, so that panels can be laid over each other."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def show_certificates(registry: CollectorRegistry, not_after_s: Mapping[str, float]) -> None:
    """Until when the certificates count that this process has read at its start.

    Args:
        registry: the service's.
        not_after_s: seconds since the Unix epoch, by setting.
    """
    gauge = Gauge(
        "tls_certificate_not_after_timestamp_seconds",
        "When the last certificate in a setting's file ends, as read at the start. Less than two weeks from"
        " now: put the next one into the file and restart; after it, nothing that needs it connects.",
        ["setting"],
        registry=registry,
    )
    for setting, at_s in not_after_s.items():
        gauge.labels(setting).set(at_s)


class HttpMetrics:
    """Requests and WebSockets of one service. Routes are templates: no label holds an id."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "http_requests_total",
            "HTTP requests answered. A rising share of 5xx: read the log of that route by request id.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time from the request's head to the end of its answer. Rising: look at the database first.",
            ["method", "route"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._sockets = Gauge(
            "websockets_open",
            "WebSocket connections open now. Falling to 0 at once: this process or the gateway restarted.",
            ["route"],
            registry=registry,
        )
        self._closes = Counter(
            "websocket_closes_total",
            "WebSocket connections ended, by close code. The codes are in docs/ref/close-codes.md.",
            ["route", "code"],
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, duration_s: float) -> None:
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(duration_s)

    def opened(self, route: str) -> None:
        self._sockets.labels(route).inc()

    def closed(self, route: str, code: int) -> None:
        self._sockets.labels(route).dec()
        self._closes.labels(route, str(code)).inc()


class ProcessMetrics:
    """Memory, CPU and version of this process; one per page, not one per service."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


class MergedRegistries(Collector):
    """Several services' registries as one: each family once, each sample with its `service`."""

    def __init__(self, registries: Mapping[str, CollectorRegistry]) -> None:
        self._registries = dict(registries)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for service, registry in self._registries.items():
            for family in registry.collect():
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type, family.unit)
                )
                merged.samples.extend(_with_service(sample, service) for sample in family.samples)
        yield from families.values()
        yield from ProcessMetrics().collect()


def exposition(registries: Mapping[str, CollectorRegistry]) -> bytes:
    """The text a Prometheus server reads, format 0.0.4."""
    return generate_latest(MergedRegistries(registries))


def _with_service(sample: Sample, service: str) -> Sample:
    return sample._replace(labels={"service": service, **sample.labels})
