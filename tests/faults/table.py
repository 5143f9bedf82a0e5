"""`docs/ref/faults.md`: what each column means, the table, and what was not struck."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from bench.machine import Machine
from tests.faults.faults import LEFT_OUT
from tests.faults.judgement import Verdict
from tests.faults.trial import Trial

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "ref" / "faults.md"
SOAK: Final = "## Soak"
"""From this line on the file is written by `--soak`."""

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
        seconds(verdict.dark_within_s, "stays"),
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


def back(verdict: Verdict) -> str:
    if verdict.blind:
        return f"**not: {len(verdict.blind)} viewers**"
    return seconds(verdict.back_in_s, "stay")


def count(findings: Sequence[str]) -> str:
    return f"**{len(findings)}**" if findings else "0"


def page(
    trials: Sequence[Trial],
    *,
    machine: Machine,
    commit: str,
    began: datetime,
    loads: tuple[float, float],
    took_s: float,
    viewers: int,
    kept: str,
) -> str:
    """The whole page.

    Args:
        trials: in the order they were made.
        machine: they were made on.
        commit: at which, with `+` where files differ from it.
        began: when, UTC.
        loads: average of the minute before the first and after the last.
        took_s: the whole run, the world's start included.
        viewers: in all.
        kept: the part on the soak, from its heading on.
    """
    worst = max((trial.verdict.slowest_dark_s for trial in trials), default=0.0)
    found = sum(len(trial.verdict.findings) for trial in trials)
    return "\n".join(
        [
            INTRODUCTION.format(viewers=viewers),
            f"- machine: {machine}",
            f"- commit: `{commit}`",
            f"- date: {began:%Y-%m-%d %H:%M} UTC; the run took {took_s / 60:.0f} min",
            f"- load average of the minute before: {loads[0]:g}; at the end: {loads[1]:g}",
            f"- worst dark or stopped within: {worst:.2f} s; bound: 5 s",
            f"- of what may never happen: {found or 'nothing'} in {len(trials)} faults",
            "",
            HEADER,
            *map(row, trials),
            "",
            left_out(LEFT_OUT),
            kept,
        ]
    )


def left_out(reasons: Mapping[tuple[str, str], str]) -> str:
    """What was not struck, by reason."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for (target, how), reason in reasons.items():
        by_reason.setdefault(reason, {}).setdefault(how, []).append(f"`{target}`")
    lines = [
        f"- {how}: {', '.join(targets)}: {reason}."
        for reason, faults in by_reason.items()
        for how, targets in faults.items()
    ]
    return "\n".join(["## What was not struck", "", *lines, ""])


def kept_soak(written: str) -> str:
    """The part of an earlier page on the soak."""
    start = written.find(f"\n{SOAK}")
    return "" if start < 0 else written[start:]


INTRODUCTION: Final = """\
# What happens when something breaks

Written by `make faults`. Eight cameras, each looked at by some of {viewers} viewers; owners stop sharing at random and share
anew, and somebody keeps trying to look under withdrawn rights with tickets forged to be fresh. One process of each service, three
Kafka brokers, PostgreSQL and the issuer, every one a process of its own on one machine. Then one of them is struck.

What is judged is what people saw, by the clock of the viewers' own process, not what Feedgate says of itself:

- **dark within**: from the fault to the last picture of any view that went dark because nobody could vouch for its right any more,
  or because its connection was lost. *stays*: no view went dark for that.
- **stops**: calls of owners, made at any time from before the fault until all was well again, that registry accepted.
- **stopped within**: from an owner's call to the last picture of that camera that anybody received. Where nobody could accept the
  call at first, also from the first attempt until pictures first stopped.
- **pictures back in**: from the end of the fault (for a killed process: from its start) until the last viewer whose right went on
  had a picture again. *stay*: nobody's pictures stopped for 2 s.
- **outside**: pictures outside the rule: after a view's last word, while it was covered, more than 5 s after an accepted
  withdrawal, more than 5 s into a fault in which nobody can vouch for rights, captured before the grant, or older than 3 s.
- **withdrawals lost**: accepted, and then not in registry's database, not in the audit log, or pictures came again.
- **audit lost**: views with pictures that have no `view.started` in the audit log, and ended ones without `view.ended`, once all is
  well again. In brackets, apart: views that a *killed relay* had open. What it had not told the bus died with it; the owner's ledger
  shows such a view with its beginning and without an end ([owner's guide](../guide/owner.md)).
- **notices missing**: pictures that stopped for more than 4.5 s without a notice, a view that ended without a word, and stops that the
  agency's topic does not tell of. A viewer that hears nothing from the relay for 3 s covers itself (the dead-man rule): that
  counts as told.

*network cut*: every packet to or from the process is answered by a reset. *half-open*: connections stay open at both ends and nothing
arrives. Both are the kernel's, for all connections of the process. *slow commits*: every transaction that writes for the bus or
for the audit log waits 2 s at its commit, in PostgreSQL. *clock*: the wall clock of the one process.
"""
