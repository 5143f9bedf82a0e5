"""Metrics tell how Feedgate fares, and never whose home is being watched (design 2.13)."""

import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import feedgate_access_policy.metrics
import feedgate_audit.metrics
import feedgate_ingest.metrics
import feedgate_registry.metrics
import feedgate_relay.metrics
from feedgate.metrics_reference import documented
from feedgate_kit.metrics import HttpMetrics

MODULES = [
    feedgate_access_policy.metrics,
    feedgate_audit.metrics,
    feedgate_ingest.metrics,
    feedgate_registry.metrics,
    feedgate_relay.metrics,
]

ALLOWED_LABELS = {
    "act", "action", "again", "code", "kind", "method", "phase", "reason", "result", "route", "state",
    "status", "topic", "type",
}  # fmt: skip
"""Each takes one of a few values known beforehand; none can hold an id, a name or a place."""


def families_of(registry: CollectorRegistry) -> list[Metric]:
    return list(registry.collect())


def of_a_topic() -> list[tuple[str, float]]:
    return [("registry.camera.state.v1", 0.5)]


def _registries() -> Iterator[tuple[str, CollectorRegistry]]:
    for module in MODULES:
        registry = CollectorRegistry()
        metrics = class_of(module)(registry)
        if isinstance(metrics, feedgate_relay.metrics.RelayMetrics):
            metrics.watch_heartbeats(of_a_topic, of_a_topic)
        yield module.__name__, registry
    registry = CollectorRegistry()
    HttpMetrics(registry)
    yield "feedgate_kit.metrics", registry


def class_of(module: ModuleType) -> type:
    (found,) = (
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and name.endswith("Metrics") and value.__module__ == module.__name__
    )
    return found


def collectors_of(module: ModuleType) -> list[type]:
    """Those the module makes itself."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and Collector in value.__mro__ and value.__module__ == module.__name__
    ]


REGISTRIES = list(_registries())
of_each = pytest.mark.parametrize(("name", "registry"), REGISTRIES, ids=[name for name, _ in REGISTRIES])


@of_each
def test_no_label_can_name_a_camera_a_person_or_a_place(name: str, registry: CollectorRegistry) -> None:
    declared = {label for metric in documented(registry) for label in metric.labels}
    # A collector of our own may tell more than it declares.
    told = {label for family in families_of(registry) for sample in family.samples for label in sample.labels}
    labels = declared | told - {"le"}  # a histogram's own
    assert labels <= ALLOWED_LABELS, f"{name}: {sorted(labels - ALLOWED_LABELS)}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_collector_of_our_own_is_among_those_looked_at(module: ModuleType) -> None:
    registry = dict(REGISTRIES)[module.__name__]
    registered = {type(collector): collector for collector in registry._collector_to_names}
    for kind in collectors_of(module):
        assert kind in registered, f"{kind.__name__} is registered later: do so above"
        assert any(family.samples for family in registered[kind].collect()), kind.__name__


@of_each
def test_every_metric_says_what_it_is_in_a_sentence(name: str, registry: CollectorRegistry) -> None:
    for family in families_of(registry):
        assert family.documentation.strip().endswith("."), f"{name}: {family.name}"
        assert family.name == family.name.lower()


@of_each
def test_a_metric_of_time_is_in_seconds(name: str, registry: CollectorRegistry) -> None:
    for family in families_of(registry):
        assert not family.name.endswith(("_ms", "_us", "_milliseconds", "_minutes")), f"{name}: {family.name}"
