"""A dashboard as questions, and how Grafana draws it."""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, VisibilityMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef
from grafana_foundation_sdk.models.units import (
    BytesIEC,
    BytesPerSecondIEC,
    CountsPerSecond,
    Number,
    PercentUnit,
    Seconds,
)

SOURCE: Final = DataSourceRef("prometheus", "feedgate-prometheus")
"""As `provisioning/datasources` names it."""
ACROSS: Final = 24
"""Columns of Grafana's grid."""
HEIGHT: Final = 8

COUNT: Final = Number
PER_SECOND: Final = CountsPerSecond
SECONDS: Final = Seconds
SHARE: Final = PercentUnit
BYTES: Final = BytesIEC
BYTES_PER_SECOND: Final = BytesPerSecondIEC


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and how its series are named in the legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is asked, in what unit it is answered, and what to do when the answer is bad."""

    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    across: int = ACROSS // 2
    as_number: bool = False
    """The newest value, large, instead of lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard: panels in their order."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]


def quantile(share: float, histogram: str, *, by: str = "", where: str = "") -> str:
    """Below what that share of a histogram's observations lies.

    Args:
        share: 0.99 for all but one of a hundred.
        histogram: its name, without `_bucket`.
        by: labels to tell apart, with commas.
        where: matchers of labels.
    """
    labels = f"le, {by}" if by else "le"
    matchers = f"{{{where}}}" if where else ""
    rate = f"rate({histogram}_bucket{matchers}[$__rate_interval])"
    return f"histogram_quantile({share:g}, sum by ({labels}) ({rate}))"


def drawn(board: Board) -> str:
    """The board as Grafana reads it, the same at every call."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["feedgate"])
        .timezone("browser")
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for number, panel in enumerate(board.panels, start=1):
        made = made.with_panel(_drawn(number, panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _drawn(number: int, panel: Panel) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if panel.as_number:
        made = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        made = (
            timeseries.Panel()
            .show_points(VisibilityMode.NEVER)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
        )
    made = (
        made.id(number)
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(SOURCE)
        .span(panel.across)
        .height(HEIGHT)
    )
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(SOURCE)
        made = made.with_target(target.ref_id(chr(ord("A") + place)))
    return made
