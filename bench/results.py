"""`bench/RESULTS.md`: made anew by `make bench`, but for the notes at its end, which people write."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from bench.figures import Result, Unmeasured
from bench.machine import Machine

FILE: Final = Path(__file__).with_name("RESULTS.md")
NOTES: Final = "## Notes"
"""From this line on the file is a person's."""

FIRST_NOTES: Final = f"{NOTES}\n\nWhat stands below this heading is kept when the rest is written anew.\n"


def results_page(
    results: Sequence[Result | Unmeasured],
    *,
    machine: Machine,
    commit: str,
    began: datetime,
    loads: tuple[float, float],
    kept: str,
) -> str:
    """The whole page.

    Args:
        results: in the order they were run in.
        machine: they were measured on.
        commit: they were measured at, with `+` where files differ from it.
        began: when, UTC.
        loads: average of the minute before the first and after the last.
        kept: the notes, from their heading on.
    """
    head = [
        "# Results",
        "",
        "Written by `make bench`. CPU is percent of one core, user + system.",
        "",
        f"- machine: {machine}",
        f"- commit: `{commit}`",
        f"- date: {began:%Y-%m-%d %H:%M} UTC",
        f"- load average of the minute before: {loads[0]:g}; at the end: {loads[1]:g}",
        "",
        "| bench | figure | value | target | met |",
        "|---|---|--:|--:|---|",
    ]
    rows = [row for result in results for row in _rows(result)]
    details = [line for result in results for line in _details(result)]
    return "\n".join([*head, *rows, "", *details, kept])


def kept_notes(page: str) -> str:
    """The part of an earlier page that people wrote."""
    start = page.find(f"\n{NOTES}")
    return FIRST_NOTES if start < 0 else page[start + 1 :]


def _rows(result: Result | Unmeasured) -> list[str]:
    if isinstance(result, Unmeasured):
        return [f"| `{result.name}` | | not measured | | **no** |"]
    rows = []
    for name, value in result.figures.items():
        target = result.targets.get(name)
        asked = "" if target is None else f"{target}"
        rows.append(f"| `{result.command}` | `{name}` | {value:g} | {asked} | {result.verdict(name)} |")
    return rows


def _details(result: Result | Unmeasured) -> list[str]:
    if isinstance(result, Unmeasured):
        return [f"## `{result.name}`", "", f"Not measured: {result.why}.", ""]
    conditions = [f"- {name.replace('_', ' ')}: {value}" for name, value in result.conditions.items()]
    return [
        f"## `{result.command}`",
        "",
        f"{result.measured}.",
        "",
        f"- spread: {result.spread}",
        *conditions,
        "",
    ]
