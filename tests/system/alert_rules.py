"""The alert rules and their cases, as the files have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.servers.machine import REPOSITORY

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASE_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = REPOSITORY / "docs" / "runbooks"


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def alerts() -> Iterator[dict[str, Any]]:
    """Every alert of every file."""
    for file in RULE_FILES:
        for group in read(file)["groups"]:
            yield from group["rules"]


def cases() -> Iterator[dict[str, Any]]:
    """Every question that the cases for `promtool` ask: an alert, a time, what is expected to fire."""
    for file in CASE_FILES:
        for test in read(file)["tests"]:
            yield from test["alert_rule_test"]
