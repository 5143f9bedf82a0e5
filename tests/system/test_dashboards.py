"""Dashboards: their files are what the code draws, and they and the alerts ask for what the services export."""

import json
import re

import pytest
import yaml

from deploy.grafana.board import SOURCE, Panel
from deploy.grafana.boards import BOARDS, FOLDER, files
from tests.servers.machine import REPOSITORY
from tests.system.alert_rules import RUNBOOKS, alerts
from tests.system.exported import ADDED, LABELS, OPEN, VALUES
from tests.system.promql import grouped_by, metrics_in, values_of

PANELS = [panel for board in BOARDS for panel in board.panels]
EXPRESSIONS = [
    *((panel.title, query.expr) for panel in PANELS for query in panel.queries),
    *((alert["alert"], alert["expr"]) for alert in alerts()),
]
of_each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
of_each_expression = pytest.mark.parametrize(
    "expr", [expr for _, expr in EXPRESSIONS], ids=[name for name, _ in EXPRESSIONS]
)


def test_the_files_are_what_the_code_draws() -> None:
    drawn = files()
    assert set(FOLDER.glob("*.json")) == set(drawn), "make dashboards"
    for file, text in drawn.items():
        assert file.read_text(encoding="utf-8") == text, "make dashboards"


def test_grafana_finds_the_source_that_panels_name() -> None:
    provisioned = REPOSITORY / "deploy/grafana/provisioning/datasources/feedgate.yml"
    (source,) = yaml.safe_load(provisioned.read_text(encoding="utf-8"))["datasources"]
    assert (source["type"], source["uid"]) == (SOURCE.type_val, SOURCE.uid)
    for file in FOLDER.glob("*.json"):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}


@of_each_panel
def test_a_panel_says_its_unit_and_what_to_do(panel: Panel) -> None:
    assert panel.unit
    assert len(panel.description.split()) >= 8
    assert panel.description.endswith(".")
    for named in re.findall(r"[Rr]unbooks? ((?:\w+, )*\w+)", panel.description):
        for runbook in named.split(", "):
            assert (RUNBOOKS / f"{runbook}.md").exists()


def test_titles_tell_panels_apart() -> None:
    assert len({panel.title for panel in PANELS}) == len(PANELS)


@of_each_expression
def test_every_metric_and_label_that_is_asked_for_is_exported(expr: str) -> None:
    named = list(metrics_in(expr))
    assert named
    known: set[str] = set()
    for each in named:
        assert each.metric in LABELS
        known |= LABELS[each.metric]
        for label, operator, value in each.matchers:
            assert label in LABELS[each.metric]
            if label not in ADDED and (each.metric, label) not in OPEN:
                assert set(values_of(operator, value)) <= VALUES[each.metric, label]
    assert grouped_by(expr) <= known
