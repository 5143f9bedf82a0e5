"""What the services export, by their own word: metrics, labels, and the values known beforehand."""

from collections import defaultdict
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from feedgate.metrics_reference import SERVICES, SHARED, documented
from feedgate_access_policy import decision
from feedgate_kit.metrics import PROCESS

ADDED = {"service", "job", "instance"}
"""By the page of metrics and by Prometheus."""
PARTS = ("_bucket", "_sum", "_count")

LABELS: dict[str, set[str]] = {"up": ADDED - {"service"}}
"""Of each metric by its name in a query."""
VALUES: dict[tuple[str, str], set[str]] = defaultdict(set)
"""Of a metric's label, from the start; those of later are in `LATER`."""
LATER = {
    ("access_policy_decisions_total", "result"): {"permit", "deny"},
    ("access_policy_decisions_total", "reason"): {decision.POLICY_ERROR},
}
OPEN = {
    ("http_requests_total", "route"),
    ("http_requests_total", "status"),
    ("http_request_duration_seconds_bucket", "route"),
}
"""Labels whose values are another test's matter."""


def _note(registry: CollectorRegistry) -> None:
    for metric in documented(registry):
        names = [metric.name + part for part in PARTS] if metric.type == "histogram" else [metric.name]
        for name in names:
            LABELS[name] = {*metric.labels, *ADDED, *(["le"] if name.endswith("_bucket") else [])}
    for family in registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                VALUES[sample.name, label].add(value)


def _made(make: Callable[[CollectorRegistry], object]) -> CollectorRegistry:
    registry = CollectorRegistry()
    make(registry)
    return registry


for _registry in (PROCESS, *(_made(make) for _, make in (*SHARED, *SERVICES))):
    _note(_registry)
for _where, _values in LATER.items():
    VALUES[_where] |= _values
