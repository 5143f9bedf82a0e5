"""SECURITY.md says which test holds which threat; each has to exist."""

import re

from tests.servers.machine import REPOSITORY

PAGE = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (T-\d\d) \| .+ \| (yes|in part|not yet|no) \| (.+) \|$", re.MULTILINE)
DEFINED = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def defined_tests() -> set[str]:
    folders = ("apps", "libs", "services", "tools", "proto", "tests")
    files = (
        file for folder in folders for file in (REPOSITORY / folder).rglob("*.py") if "tests" in file.parts
    )
    return {name for file in files for name in DEFINED.findall(file.read_text(encoding="utf-8"))}


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 30
    assert named - defined_tests() == set()


def test_every_threat_has_one_row() -> None:
    assert [row[0] for row in ROW.findall(PAGE)] == [f"T-{number:02}" for number in range(1, 25)]


def test_what_is_held_names_a_test() -> None:
    assert [row[0] for row in ROW.findall(PAGE) if row[1] == "yes" and "`test_" not in row[2]] == []
