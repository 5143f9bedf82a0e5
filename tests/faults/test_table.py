"""The page: what the program writes stays apart from what people wrote."""

import pytest

from tests.faults.faults import FAULTS, HOW, LEFT_OUT, Fault
from tests.faults.judgement import Verdict
from tests.faults.table import NOT_STRUCK, SOAK, TABLE, left_out, row, with_section
from tests.faults.trial import Trial
from tests.faults.world import TARGETS
from tests.servers.machine import REPOSITORY

PAGE = REPOSITORY / "docs" / "ref" / "faults.md"


def test_a_row_says_what_people_saw() -> None:
    verdict = Verdict(dark_within_s=4.123, stops=3, stop_within_s=0.02, back_in_s=6.5, cut_off=5)
    assert row(Trial(Fault("relay", "SIGKILL"), verdict, 20.0)) == (
        "| `relay` | SIGKILL | 4.12 s | 3 | 0.02 s | 6.50 s | 0 | 0 | 0 (+5) | 0 |"
    )


def test_a_row_makes_what_may_never_happen_stand_out() -> None:
    verdict = Verdict(outside=["a picture"] * 2, blind=["viewer 3"], audit_lost=["a view"])
    assert row(Trial(Fault("audit", "SIGKILL"), verdict, 20.0)) == (
        "| `audit` | SIGKILL | stay | 0 | - | **not: 1 viewers** | **2** | 0 | **1** | 0 |"
    )


def test_every_target_is_struck_in_every_way_or_it_is_said_why_not() -> None:
    assert set(LEFT_OUT) < {(target, how) for target in TARGETS for how in HOW}
    assert len(FAULTS) == len(TARGETS) * len(HOW) - len(LEFT_OUT)
    lines = left_out(LEFT_OUT).splitlines()
    for target, how in LEFT_OUT:
        assert any(line.startswith(f"- {how}: ") and f"`{target}`" in line for line in lines)


def test_a_section_is_replaced_and_nothing_else() -> None:
    page = "# Page\n\nWords.\n\n## One\n\nold\n\n## Two\n\nkept\n"
    assert with_section(page, "## One", "new") == "# Page\n\nWords.\n\n## One\n\nnew\n\n## Two\n\nkept\n"
    assert with_section(page, "## Two", "new") == "# Page\n\nWords.\n\n## One\n\nold\n\n## Two\n\nnew\n"


@pytest.mark.parametrize("heading", [TABLE, NOT_STRUCK, SOAK])
def test_the_page_has_the_sections_that_are_written(heading: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_section(page, heading, "new").startswith("# What happens when something breaks")
