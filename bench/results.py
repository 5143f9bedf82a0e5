"""`bench/RESULTS.md`: made anew by `make bench`, but for the notes at its end, which people write."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from bench.figures import Result, Unmeasured
from bench.machine import Machine

FILE: Final = Path(__file__).with_name("RESULTS.md")
NOTES: Final = "## Notes"
"""From this line on the file is a person's."""

_ROW: Final = re.compile(r"^\| `([^`]+)` \|")
_HEADING: Final = re.compile(r"^## `([^`]+)`$")

FIRST_NOTES: Final = f"{NOTES}\n\nWhat stands below this heading is kept when the rest is written anew.\n"


def results_page(
    results: Sequence[Result | Unmeasured],
    *,
    machine: Machine,
    commit: str,
    began: datetime,
    loads: tuple[float, float],
    earlier: str = "",
) -> str:
    """The whole page.

    Args:
        results: in the order they were run in.
        machine: they were measured on.
        commit: they were measured at, with `+` where files differ from it.
        began: when, UTC.
        loads: average of the minute before the first and after the last.
        earlier: the page that this one replaces. Its notes stay, and what it says of benches that were not run
            now, if it is of the same machine.
    """
    run = (
        f"commit `{commit}`, {began:%Y-%m-%d %H:%M} UTC, load {loads[0]:g} before and {loads[1]:g} at the end"
    )
    entries = {_name(result): (_rows(result), _details(result, run)) for result in results}
    others = _entries(earlier) if f"- machine: {machine}\n" in earlier else {}
    entries = {name: entry for name, entry in others.items() if name not in entries} | entries
    head = [
        "# Results",
        "",
        "Written by `make bench`. CPU is percent of one core, user + system.",
        "",
        f"- machine: {machine}",
        f"- last run: {run}",
        "",
        "| bench | figure | value | target | met |",
        "|---|---|--:|--:|---|",
    ]
    rows = [row for each, _ in entries.values() for row in each]
    details = [line for _, each in entries.values() for line in each]
    return "\n".join([*head, *rows, "", *details, kept_notes(earlier)])


def kept_notes(page: str) -> str:
    """The part of an earlier page that people wrote."""
    start = page.find(f"\n{NOTES}")
    return FIRST_NOTES if start < 0 else page[start + 1 :]


def _entries(page: str) -> dict[str, tuple[list[str], list[str]]]:
    """The rows and the section of every bench that a page tells of, as they stand there."""
    lines = page[: page.find(f"\n{NOTES}")].splitlines()
    entries: dict[str, tuple[list[str], list[str]]] = {}
    for line in lines:
        if row := _ROW.match(line):
            entries.setdefault(row[1], ([], []))[0].append(line)
    section: list[str] = []
    for line in lines:
        if heading := _HEADING.match(line):
            section = entries.setdefault(heading[1], ([], []))[1]
        section.append(line)
    return entries


def _name(result: Result | Unmeasured) -> str:
    return result.name if isinstance(result, Unmeasured) else result.command


def _rows(result: Result | Unmeasured) -> list[str]:
    if isinstance(result, Unmeasured):
        return [f"| `{result.name}` | | not measured | | **no** |"]
    rows = []
    for name, value in result.figures.items():
        target = result.targets.get(name)
        asked = "" if target is None else f"{target}"
        rows.append(f"| `{result.command}` | `{name}` | {value:g} | {asked} | {result.verdict(name)} |")
    return rows


def _details(result: Result | Unmeasured, run: str) -> list[str]:
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
        f"- run: {run}",
        "",
    ]
