"""The page of metrics is what the services say of them."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from feedgate.metrics_reference import documented, metrics_reference
from feedgate_relay.metrics import RelayMetrics

REPOSITORY = Path(__file__).parents[3]


def test_the_page_of_metrics_is_current() -> None:
    page = (REPOSITORY / "docs/ref/metrics.md").read_text(encoding="utf-8")
    assert page == metrics_reference(), "python -m feedgate.metrics_reference > docs/ref/metrics.md"


def test_labels_are_told_of_metrics_that_have_no_sample_yet() -> None:
    registry = CollectorRegistry()
    RelayMetrics(registry)
    labels = {metric.name: metric.labels for metric in documented(registry)}
    assert labels["relay_pictures_refused_total"] == ("reason",)
    assert labels["relay_heartbeat_age_seconds"] == ("topic",)
    assert labels["relay_views_open"] == ()
