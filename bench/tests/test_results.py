import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bench.figures import Result, Target, Unmeasured, rounded
from bench.machine import Machine
from bench.results import NOTES, kept_notes, results_page

MACHINE = Machine(cores=2, processor="Some CPU", memory_gib=7.5, kernel="6.1.0", python="3.11.7")
FAST = Result(
    bench="fanout",
    parameters={"viewers": 150, "fragment_ms": 40},
    figures={"latency_p99_ms": 120.0, "received_ratio": 1.0, "rss_mib": 90.5},
    measured="What",
    spread="1 … 2 %",
    targets={"latency_p99_ms": Target("≤", 100), "received_ratio": Target("≥", 0.999)},
    conditions={"counted_trials": 3},
)


SCREEN = Unmeasured("screen", "no `chromium`")


def page(earlier: str = "", results: Sequence[Result | Unmeasured] = (FAST, SCREEN)) -> str:
    return results_page(
        results,
        machine=MACHINE,
        commit="abc+",
        began=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        loads=(0.1, 2.5),
        earlier=earlier,
    )


def test_each_figure_stands_beside_its_target() -> None:
    written = page()
    assert "| `fanout --viewers 150 --fragment-ms 40` | `latency_p99_ms` | 120 | ≤ 100 | **no** |" in written
    assert "| `fanout --viewers 150 --fragment-ms 40` | `received_ratio` | 1 | ≥ 0.999 | yes |" in written
    assert "| `fanout --viewers 150 --fragment-ms 40` | `rss_mib` | 90.5 |  |  |" in written
    assert "| `screen` | | not measured | | **no** |" in written
    assert "Not measured: no `chromium`." in written
    assert "## `fanout --viewers 150 --fragment-ms 40`" in written
    assert "2 cores (Some CPU), 7.5 GiB, Linux 6.1.0, Python 3.11.7" in written
    assert "- run: commit `abc+`, 2026-01-02 03:04 UTC, load 0.1 before and 2.5 at the end" in written


def test_notes_are_kept_as_they_were() -> None:
    notes = f"{NOTES}\n\nThe p99 of this day is the neighbour's.\n\n## More\n"
    once = page(f"# Results\n\n{notes}")
    assert kept_notes(once) == notes
    assert page(once) == once


def test_what_was_not_run_again_stays_as_it_was() -> None:
    faster = replace(FAST, figures={"latency_p99_ms": 80.0})
    again = page(page(), [faster])
    assert "| `screen` | | not measured | | **no** |" in again
    assert "Not measured: no `chromium`." in again
    assert "| 80 |" in again
    assert "| 120 |" not in again
    assert again.count("## `fanout --viewers 150 --fragment-ms 40`") == 1


def test_nothing_is_kept_of_another_machine() -> None:
    assert "`screen`" not in page(page().replace("2 cores", "4 cores"), [FAST])


def test_the_first_page_has_room_for_notes() -> None:
    assert kept_notes(page()).startswith(NOTES)


def test_json_is_one_line_with_the_figures_on_top() -> None:
    line = FAST.to_json()
    assert "\n" not in line
    assert json.loads(line)["latency_p99_ms"] == 120.0
    assert json.loads(line)["viewers"] == 150


def test_four_digits_are_enough() -> None:
    assert rounded(123.456) == 123.5
    assert rounded(0.0531234) == 0.05312
