"""What a bench found, and what is asked of it."""

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_KEEPS: Mapping[str, Callable[[float, float], bool]] = {"≤": operator.le, "≥": operator.ge}


class BenchError(Exception):
    """It could not be measured. The message says what was in the way; there is no figure."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must keep."""

    sign: str  # `≤` or `≥`
    bound: float

    def is_met_by(self, value: float) -> bool:
        return _KEEPS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one bench."""

    bench: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    """By name, the unit at its end: `p50_ms`."""
    measured: str
    """One sentence: what, between which two moments, with what around it."""
    spread: str
    """How far the samples, or repeated parts of the run, lie apart."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What else a reader needs to repeat it: counted trials, the camera, other programs beside."""

    def to_json(self) -> str:
        """One line; the figures lie at its top."""
        return json.dumps(
            {"bench": self.bench, **self.figures, **self.parameters, "conditions": dict(self.conditions)},
            ensure_ascii=False,
        )

    @property
    def command(self) -> str:
        """What was typed after `python -m bench`."""
        return " ".join((self.bench, *(_option(name, value) for name, value in self.parameters.items())))

    def verdict(self, name: str) -> str:
        """`yes`, `no`, or nothing where nothing is asked."""
        target = self.targets.get(name)
        if target is None:
            return ""
        return "yes" if target.is_met_by(self.figures[name]) else "**no**"


def _option(name: str, value: Any) -> str:
    """A flag is typed without a value."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A bench that could not be run to its end."""

    name: str
    """Its command."""
    why: str


def rounded(value: float) -> float:
    """Four significant digits: more would pretend."""
    return float(f"{value:.4g}")
