"""One line that breaks a rule, and the tests that should notice."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELDS = {"name", "rule", "file", "search", "replace", "noticed_by"}


class BreakageError(Exception):
    """A breakage cannot be tried: it is badly described, or the code has moved from under it."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """A change of one line."""

    name: str
    rule: str
    """What it breaks, as the design says it."""
    file: str
    search: str
    """Part of one line; it must occur exactly once in the file."""
    replace: str
    noticed_by: tuple[str, ...]
    """Pytest node ids; at least one of these tests must fail."""

    def applied_to(self, text: str) -> str:
        """The broken text.

        Raises:
            BreakageError: the line is no longer there, or no longer the only one.
        """
        count = text.count(self.search)
        if count != 1:
            raise BreakageError(f"`{self.search}` occurs {count} times in {self.file}; allowed 1")
        return text.replace(self.search, self.replace)


def load_catalogue(path: Path) -> list[Breakage]:
    """The breakages of one TOML file.

    Raises:
        BreakageError: an entry has other fields than a breakage, spans lines, or repeats a name.
    """
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["breakage"]
    for entry in entries:
        if entry.keys() != FIELDS:
            raise BreakageError(f"{entry.get('name')}: fields {sorted(entry)}; allowed {sorted(FIELDS)}")
        if "\n" in entry["search"] or not entry["search"] or not entry["noticed_by"]:
            raise BreakageError(f"{entry['name']}: one line to search for, and a test to notice")
        if entry["search"] == entry["replace"]:
            raise BreakageError(f"{entry['name']}: nothing would change")
    breakages = [Breakage(**{**entry, "noticed_by": tuple(entry["noticed_by"])}) for entry in entries]
    names = [breakage.name for breakage in breakages]
    if len(set(names)) != len(names):
        raise BreakageError(f"names occur twice: {sorted({name for name in names if names.count(name) > 1})}")
    return breakages
