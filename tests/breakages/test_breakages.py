"""The runner finds a test that notices, and says so when there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.breakages.__main__ import CATALOGUE, report
from tests.breakages.breakage import Breakage, BreakageError, load_catalogue
from tests.breakages.workshop import Workshop
from tests.servers.machine import REPOSITORY

RULE = "def admits(fresh: bool) -> bool:\n    return fresh\n"
TESTS = """
from gate import rule

def test_admission():
    assert not rule.admits(False)

def test_nothing():
    pass
"""
Break = Callable[..., Breakage]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    tree = tmp_path / "original"
    package = tree / "libs" / "gate" / "src" / "gate"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "rule.py").write_text(RULE)
    (tree / "pytest.ini").write_text("[pytest]\n")
    (tree / "test_gate.py").write_text(TESTS)
    return Workshop(tree, tmp_path)


@pytest.fixture
def breaking() -> Break:
    def make(**changes: str | tuple[str, ...]) -> Breakage:
        whole: dict[str, Any] = {
            "name": "admit anything",
            "rule": "design 2.1",
            "file": "libs/gate/src/gate/rule.py",
            "search": "return fresh",
            "replace": "return True",
            "noticed_by": ("test_gate.py",),
        }
        return Breakage(**{**whole, **changes})

    return make


def test_the_test_that_noticed_is_named(
    workshop: Workshop, breaking: Break, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(workshop, [breaking()]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "admit anything  test_gate.py::test_admission",
        "1 of 1 breakages were noticed",
    ]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        pytest.param({"noticed_by": ("test_gate.py::test_nothing",)}, "no test noticed", id="no test"),
        pytest.param({"search": "return stale"}, "occurs 0 times", id="the line is gone"),
        pytest.param({"search": "fresh"}, "occurs 2 times", id="two places"),
        pytest.param({"file": "libs/gate/src/gate/none.py"}, "no libs/gate", id="the file is gone"),
        pytest.param({"replace": "return ("}, "did not run", id="no longer Python"),
    ],
)
def test_what_goes_unnoticed_fails_the_run(
    workshop: Workshop,
    breaking: Break,
    changes: dict[str, str | tuple[str, ...]],
    cause: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(workshop, [breaking(**changes)]) == 1
    said = capsys.readouterr().out
    assert "admit anything  UNNOTICED: " in said
    assert cause in said


def test_tests_that_fail_before_anything_is_broken_prove_nothing(workshop: Workshop, breaking: Break) -> None:
    (workshop.root / "test_gate.py").write_text("def test_broken(): assert False")
    assert report(workshop, [breaking()]) == 1


def test_the_copy_is_mended_after_each(workshop: Workshop, breaking: Break) -> None:
    workshop.noticed(breaking())
    assert (workshop.root / breaking().file).read_text() == RULE


def test_a_package_imported_from_elsewhere_is_refused(workshop: Workshop, breaking: Break) -> None:
    elsewhere = breaking(file="libs/gate/src/feedgate_kit/clock.py")
    with pytest.raises(BreakageError, match=r"imported from .*, not from the copy"):
        workshop.check_that_the_copy_is_imported(elsewhere)


ENTRY = """
[[breakage]]
name = "a"
rule = "r"
file = "f"
search = "s"
replace = "t"
noticed_by = ["test_it.py"]
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        pytest.param(ENTRY + "when = 1", "fields", id="an unknown field"),
        pytest.param(ENTRY + ENTRY, "names occur twice", id="a name twice"),
        pytest.param(ENTRY.replace('"s"', '"s\\ns"'), "one line", id="two lines"),
        pytest.param(ENTRY.replace('["test_it.py"]', "[]"), "one line", id="no test"),
        pytest.param(ENTRY.replace('"t"', '"s"'), "nothing would change", id="no change"),
    ],
)
def test_a_bad_catalogue_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(BreakageError, match=cause):
        load_catalogue(path)


def test_every_breakage_of_the_catalogue_can_be_made() -> None:
    """And names tests that are there."""
    for breakage in load_catalogue(CATALOGUE):
        assert breakage.applied_to((REPOSITORY / breakage.file).read_text(encoding="utf-8"))
        for test in breakage.noticed_by:
            assert (REPOSITORY / test.split("::")[0]).exists(), breakage.name
