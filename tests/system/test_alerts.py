"""Alerts: promtool's judgement of the rules, a case each way for every alert, a runbook page for each."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.machine import REPOSITORY
from tests.system.alert_rules import CASE_FILES, PROMETHEUS, RULE_FILES, RUNBOOKS, alerts, cases, read

SECTIONS = ("What it means for people", "What to look at", "What to do")
ALERTS = {alert["alert"]: alert for alert in alerts()}


def judged(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("prometheus")
def test_prometheus_and_alertmanager_take_their_configurations() -> None:
    judged("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    judged("amtool", "check-config", REPOSITORY / "deploy/alertmanager/alertmanager.yml")


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("cases", CASE_FILES, ids=lambda file: file.stem)
def test_alerts_fire_and_stay_quiet_as_their_cases_say(cases: Path) -> None:
    judged("promtool", "test", "rules", cases)


@pytest.mark.needs("prometheus")
def test_a_rule_that_is_wrong_fails_its_case(tmp_path: Path) -> None:
    for folder in ("rules", "tests"):
        shutil.copytree(PROMETHEUS / folder, tmp_path / folder)
    rules = tmp_path / "rules" / "obeyed.yml"
    wrong = rules.read_text(encoding="utf-8").replace(
        "relay_heartbeat_age_seconds) > 2", "relay_heartbeat_age_seconds) > 20"
    )
    rules.write_text(wrong, encoding="utf-8")
    with pytest.raises(AssertionError, match="HeartbeatOld"):
        judged("promtool", "test", "rules", tmp_path / "tests" / "obeyed.yml")


def test_every_file_of_rules_has_its_cases() -> None:
    assert [file.name for file in RULE_FILES] == [file.name for file in CASE_FILES]
    assert [read(file)["rule_files"] for file in CASE_FILES] == [
        [f"../rules/{file.name}"] for file in CASE_FILES
    ]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    outcomes = {bool(case["exp_alerts"]) for case in cases() if case["alertname"] == alert}
    assert outcomes == {True, False}


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_grave_it_is_and_names_its_page(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{alert}.md"
    page = (REPOSITORY / rule["annotations"]["runbook"]).read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    assert parts[0].strip() == f"# {alert}"
    assert tuple(parts[1::2]) == SECTIONS
    assert all(len(text.split()) >= 5 for text in parts[2::2])


def test_every_page_is_of_an_alert_and_the_index_names_them_all() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", index, re.MULTILINE)
    assert named == [(name, rule["labels"]["severity"]) for name, rule in sorted_by_file(index)]


def sorted_by_file(index: str) -> list[tuple[str, dict[str, dict[str, str]]]]:
    """The alerts as the index has them in its order; those it leaves out come last."""
    return sorted(ALERTS.items(), key=lambda item: index.find(f"[{item[0]}]") % len(index))


def test_no_alert_is_named_twice() -> None:
    assert len(ALERTS) == len(list(alerts()))
