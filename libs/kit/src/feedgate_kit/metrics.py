"""The metrics every service has, and how registries become one page."""

import asyncio
import math
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
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

from feedgate_kit.trust import not_after

DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""One set for all durations of requests and deliveries, so that panels can be laid over each other."""

EVENT_LOOP_LOOK_S: Final = 0.1

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


USUAL_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1005, 1016)})
"""RFC 6455 §7.4.1 and the three registered since. Any other a client may have made up."""


def show_certificates(registry: CollectorRegistry, files: Mapping[str, Path]) -> None:
    """Until when the certificates count that this process shows and believes, as its files are now.

    Args:
        registry: the service's.
        files: by setting.
    """
    gauge = Gauge(
        "tls_certificate_not_after_timestamp_seconds",
        "When the last certificate in a setting's file ends, as it is now. Less than two weeks from now: put"
        " the next one into the file; after it, nothing that needs it connects.",
        ["setting"],
        registry=registry,
    )
    for setting, file in files.items():
        gauge.labels(setting).set_function(partial(_not_after_s, file))


def _not_after_s(file: Path) -> float:
    end = not_after(file)
    return math.nan if end is None else end.timestamp()


class HttpMetrics:
    """Requests and WebSockets of one service. Routes are templates: no label holds an id."""

    def __init__(self, registry: CollectorRegistry, close_codes: Collection[int] = ()) -> None:
        """Args: close_codes: the service's own, beside the usual ones."""
        self._close_codes = USUAL_CLOSE_CODES.union(close_codes)
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
            "WebSocket connections ended, by close code. The codes are in docs/ref/close-codes.md;"
            " `other` is one that a client made up.",
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
        self._closes.labels(route, str(code) if code in self._close_codes else "other").inc()


class EventLoopDelay:
    """How late this process's event loop comes to what is due. One loop serves all of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delay = Histogram(
            "event_loop_delay_seconds",
            "How much later than due the event loop woke, looked at ten times a second. Above 0.1: this process"
            " is short of CPU or something in it blocks; pictures and stops wait as long.",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + EVENT_LOOP_LOOK_S
            await asyncio.sleep(EVENT_LOOP_LOOK_S)
            self._delay.observe(max(0.0, loop.time() - due_s))


PROCESS: Final = CollectorRegistry()
"""What is measured once for a process, whichever services run in it."""
EVENT_LOOP: Final = EventLoopDelay(PROCESS)
ProcessCollector(registry=PROCESS)
PlatformCollector(registry=PROCESS)


class MergedRegistries(Collector):
    """Several services' registries as one: each family once, each sample with its `service`; then this process's."""

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
        yield from PROCESS.collect()


def exposition(registries: Mapping[str, CollectorRegistry]) -> bytes:
    """The text a Prometheus server reads, format 0.0.4."""
    return generate_latest(MergedRegistries(registries))


def _with_service(sample: Sample, service: str) -> Sample:
    return sample._replace(labels={"service": service, **sample.labels})
