"""What a query names: metrics, and the labels it asks of them. No full parser: it knows what our queries use."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.grafana.boards import BOARDS
from tests.system.alert_rules import alerts

RATE_INTERVAL = "$__rate_interval"
"""Grafana puts an interval in its place."""

_KEYWORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_DURATION = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR = re.compile(r"\b([a-z_][a-z0-9_]*)\b\s*(\{[^}]*\})?(?!\s*\()")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Named:
    """A metric in a query, with what is asked of its labels: label, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def metrics_in(expr: str) -> Iterator[Named]:
    """Every metric that the query names."""
    bare = _DURATION.sub(" ", _GROUPING.sub(" ", expr))
    for metric, matchers in _SELECTOR.findall(bare):
        if metric not in _KEYWORDS:
            found = tuple((label, operator, value) for label, operator, value in _MATCHER.findall(matchers))
            yield Named(metric, found)


def grouped_by(expr: str) -> set[str]:
    """The labels that the query groups by."""
    return {label.strip() for group in _GROUPING.findall(expr) for label in group.split(",")}


def values_of(operator: str, value: str) -> list[str]:
    """The values a matcher names, if they are written out."""
    return value.split("|") if operator in {"=~", "!~"} else [value]


def watched() -> set[str]:
    """Every metric that an alert or a panel asks for."""
    asked = [alert["expr"] for alert in alerts()]
    asked += [query.expr for board in BOARDS for panel in board.panels for query in panel.queries]
    return {named.metric for expr in asked for named in metrics_in(expr)}
