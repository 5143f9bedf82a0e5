"""What is written into `docs/ref/faults.md`: the table, and what was not struck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bench.machine import Machine
from tests.faults.judgement import DARK_S, Verdict
from tests.faults.soak import EVERY_S, GROWTH, Soaked
from tests.faults.trial import Trial

TABLE: Final = "## The table"
NOT_STRUCK: Final = "## What was not struck"
SOAK: Final = "## The soak"

HEADER: Final = """\
| struck | how | dark within | stops | stopped within | pictures back in | outside | withdrawals lost | \
audit lost | notices missing |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"""


def row(trial: Trial) -> str:
    """One line of the table."""
    verdict = trial.verdict
    cells = (
        f"`{trial.fault.target}`",
        trial.fault.how,
        dark(verdict),
        str(verdict.stops),
        seconds(verdict.stop_within_s, "-"),
        back(verdict),
        count(verdict.outside),
        count(verdict.withdrawals_lost),
        count(verdict.audit_lost) + (f" (+{verdict.cut_off})" if verdict.cut_off else ""),
        count(verdict.notices_missing),
    )
    return f"| {' | '.join(cells)} |"


def seconds(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.2f} s"


def dark(verdict: Verdict) -> str:
    if verdict.dark_after_s is not None:
        return f"({verdict.dark_after_s:.2f} s)"
    return seconds(verdict.dark_within_s, "stay")


def back(verdict: Verdict) -> str:
    if verdict.blind:
        return f"**not: {len(verdict.blind)} viewers**"
    return seconds(verdict.back_in_s, "stay")


def count(findings: Sequence[str]) -> str:
    return f"**{len(findings)}**" if findings else "0"


@dataclass(frozen=True, slots=True)
class Run:
    """Where and when something was measured."""

    machine: Machine
    commit: str  # with `+` where files differ from it
    began: datetime  # UTC
    loads: tuple[float, float]  # averages of the minute before it and at its end
    took_s: float  # the world's start included

    def lines(self) -> list[str]:
        return [
            f"- machine: {self.machine}",
            f"- commit: `{self.commit}`",
            f"- date: {self.began:%Y-%m-%d %H:%M} UTC; the run took {self.took_s / 60:.0f} min",
            f"- load average of the minute before: {self.loads[0]:g}; at the end: {self.loads[1]:g}",
        ]


def table_section(trials: Sequence[Trial], run: Run) -> str:
    """What was measured, where and when."""
    worst_s = max((trial.verdict.slowest_dark_s for trial in trials), default=0.0)
    found = sum(len(trial.verdict.findings) for trial in trials)
    return "\n".join(
        [
            *run.lines(),
            f"- worst *dark within* and *stopped within*: {worst_s:.2f} s; the bound is {DARK_S:g} s",
            f"- the worst without a bound, in brackets or where the issuer is struck: {without_bound(trials):.2f} s",
            f"- of what may never happen: {found or 'nothing'}, in {len(trials)} faults",
            "",
            HEADER,
            *map(row, trials),
        ]
    )


def without_bound(trials: Sequence[Trial]) -> float:
    """What the table holds, in seconds, and `slowest_dark_s` leaves out."""
    verdicts = [trial.verdict for trial in trials]
    return max(
        (s for each in verdicts for s in (each.dark_after_s, each.unbounded_stop_s) if s is not None),
        default=0.0,
    )


def soak_section(soaked: Soaked, run: Run) -> str:
    """What a soak has shown, where and when."""
    accounts = soaked.accounts
    worst_s = max((trial.verdict.slowest_dark_s for trial in soaked.trials), default=0.0)
    found = sum(len(trial.verdict.findings) for trial in soaked.trials)
    return "\n".join(
        [
            *run.lines(),
            f"- {len(soaked.trials)} faults; worst *dark within* and *stopped within*: {worst_s:.2f} s",
            f"- of what may never happen: {found or 'nothing'}",
            f"- a fault every {EVERY_S:g} s, but none that ends a process, whose memory could not be followed",
            f"- views that ended: {accounts}",
            "",
            f"| process | second third | last third | last / second, at most {GROWTH:g} |",
            "|---|--:|--:|--:|",
            *(
                f"| `{name}` | {each.second_mib:.1f} MiB | {each.last_mib:.1f} MiB | {each.ratio:.3f} |"
                for name, each in soaked.growth.items()
            ),
        ]
    )


def left_out(reasons: Mapping[tuple[str, str], str]) -> str:
    """What was not struck, by reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (target, how), reason in reasons.items():
        by_reason.setdefault((how, reason), []).append(f"`{target}`")
    return "\n".join(
        f"- {how}: {', '.join(targets)}: {reason}." for (how, reason), targets in by_reason.items()
    )


def with_section(page: str, heading: str, body: str) -> str:
    """The page with what stands under a heading replaced; all else in it is a person's.

    Raises:
        ValueError: there is no such heading.
    """
    start = page.index(f"{heading}\n") + len(heading) + 1
    end = page.find("\n## ", start)
    return page[:start] + f"\n{body}\n" + (page[end:] if end >= 0 else "")
