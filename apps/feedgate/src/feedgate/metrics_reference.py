"""`docs/ref/metrics.md`, from the metrics' own words: `python -m feedgate.metrics_reference > docs/ref/metrics.md`."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from feedgate_access_policy.metrics import AccessPolicyMetrics
from feedgate_audit.metrics import AuditMetrics
from feedgate_ingest.metrics import IngestMetrics
from feedgate_kit.metrics import PROCESS, HttpMetrics, show_certificates
from feedgate_registry.metrics import RegistryMetrics
from feedgate_relay.metrics import RelayMetrics

SERVICES: Final[tuple[tuple[str, Callable[[CollectorRegistry], object]], ...]] = (
    ("registry", RegistryMetrics),
    ("access-policy", AccessPolicyMetrics),
    ("ingest", IngestMetrics),
    ("relay", RelayMetrics),
    ("audit", AuditMetrics),
)
SHARED: Final[tuple[tuple[str, Callable[[CollectorRegistry], object]], ...]] = (
    ("Every service's HTTP", HttpMetrics),
    ("Every service's certificates", partial(show_certificates, files={})),
)

HEAD: Final = """\
# Metrics

Every service shows its metrics at `/metrics` of its internal port, in Prometheus's text format. Each sample carries
`service`; those of the process do not. No label names a camera, a grant, a person, an agency or an address. Which of
them raise an alert, and what to do then, is in the [runbooks](../runbooks/README.md). Made by
`python -m feedgate.metrics_reference`.
"""


@dataclass(frozen=True, slots=True)
class DocumentedMetric:
    """One metric, as its service explains it."""

    name: str
    """As in a query, but for a histogram's `_bucket`, `_sum` and `_count`."""
    type: str
    labels: tuple[str, ...]
    documentation: str


def documented(registry: CollectorRegistry) -> Iterator[DocumentedMetric]:
    """Every metric on `registry`, in the order they were made."""
    collectors: dict[Collector, list[str]] = registry._collector_to_names  # noqa: SLF001 - no public way tells labels
    for collector in collectors:
        for family in collector.collect():
            labels: tuple[str, ...] = getattr(collector, "_labelnames", getattr(family, "_labelnames", ()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield DocumentedMetric(name, family.type, tuple(labels), family.documentation)


def metrics_of(make: Callable[[CollectorRegistry], object]) -> list[DocumentedMetric]:
    """The metrics that `make` puts on a registry."""
    registry = CollectorRegistry()
    make(registry)
    return list(documented(registry))


def metrics_reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, make in (*SHARED, *SERVICES):
        parts += [f"## {title}\n", *_table(metrics_of(make)), ""]
    process = sorted(documented(PROCESS), key=lambda metric: metric.name)
    return "\n".join([*parts, "## Every process\n", *_table(process)]) + "\n"


def _table(metrics: list[DocumentedMetric]) -> Iterator[str]:
    yield "| metric | type | labels | what it says, and what to do |"
    yield "| --- | --- | --- | --- |"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        words = " ".join(metric.documentation.split()).replace("|", "\\|")
        yield f"| `{metric.name}` | {metric.type} | {labels} | {words} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_reference())
