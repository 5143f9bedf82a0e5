"""`python -m tests.faults [--only NAME…] [--soak MINUTES] [--table FILE]`: strike, and write down what people saw."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import commit, load_before, this_machine
from tests.faults import soak as soaking
from tests.faults.faults import FAULTS, LEFT_OUT, Fault
from tests.faults.isolation import become_isolated, furnish, isolated
from tests.faults.table import (
    HEADER,
    NOT_STRUCK,
    SOAK,
    TABLE,
    Run,
    left_out,
    row,
    soak_section,
    table_section,
    with_section,
)
from tests.faults.trial import Trial, Trials
from tests.faults.world import World
from tests.servers.machine import missing

NEEDS = ("isolation", "kafka", "postgres", "faketime")
VIEWERS = 40
SEE_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Began:
    """When a run began, and what else the machine was doing."""

    at: datetime
    monotonic_s: float
    load: float
    commit: str  # before the page is written, which makes files differ from it

    def until_now(self) -> Run:
        took_s = time.monotonic() - self.monotonic_s
        return Run(this_machine(), self.commit, self.at, (self.load, load_before()), took_s)


def main() -> None:
    arguments = parse()
    lacking = next((why for need in NEEDS if (why := missing(need))), None)
    if lacking is not None:
        sys.exit(f"no faults can be made here: {lacking}; `make servers` installs what is needed, as root")
    if not isolated():
        become_isolated(sys.argv[1:])
    furnish()
    with asyncio.Runner() as runner:
        # The first process of a namespace ignores signals it does not handle.
        runner.get_loop().add_signal_handler(signal.SIGTERM, lambda: os.kill(os.getpid(), signal.SIGINT))
        sys.exit(runner.run(run(arguments)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], help="`TARGET` or `TARGET: HOW`; may be repeated"
    )
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="a fault a minute under 100 viewers")
    parser.add_argument("--table", type=Path, help="the page to write it into")
    parser.add_argument("--json", type=Path, help="write every verdict there, and a soak's memory over time")
    parser.add_argument("--logs", type=Path, help="a new folder, to keep every process's log in")
    parser.add_argument("--seed", type=int, default=1, help="of the owners' moods")
    parser.add_argument("--list", action="store_true", help="name every fault and end")
    arguments = parser.parse_args()
    if arguments.list:
        sys.stdout.writelines(f"{fault}\n" for fault in FAULTS)
        sys.exit(0)
    arguments.faults = chosen(arguments.only)
    return arguments


def chosen(names: Sequence[str]) -> list[Fault]:
    """The faults of these names, in their order."""
    unknown = [
        name for name in names if not any(name in {str(fault), fault.target, fault.how} for fault in FAULTS)
    ]
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)}; `--list` names them")
    return [
        fault
        for fault in FAULTS
        if not names or any(name in {str(fault), fault.target, fault.how} for name in names)
    ]


async def run(arguments: argparse.Namespace) -> int:
    """Strike one after the other, or soak; 1 if anything was found that may never happen."""
    began = Began(datetime.now(UTC), time.monotonic(), load_before(), commit())
    with folder_of(arguments.logs) as folder:
        world = World(folder, viewers=soaking.VIEWERS if arguments.soak else VIEWERS, seed=arguments.seed)
        async with world.running():
            if blind := await world.crowd.blind_after(SEE_WITHIN_S):
                say(f"with nothing struck, {len(blind)} viewers see nothing: {blind[0].last_told()}")
                return 1
            say(f"everybody sees after {time.monotonic() - began.monotonic_s:.0f} s\n{HEADER}")
            findings = await (soak if arguments.soak else strike)(world, arguments, began)
            findings += await of_the_whole_run(world)
            for finding in findings:
                say(finding)
    return int(bool(findings))


async def strike(world: World, arguments: argparse.Namespace, began: Began) -> list[str]:
    """One fault after the other; what is known is written after each."""
    in_turn = Trials(world)
    trials: list[Trial] = []
    for fault in arguments.faults:
        trials.append(await in_turn.run(fault))
        tell(trials[-1])
        if arguments.json:
            write_json(arguments.json, trials)
        if arguments.table:
            sections = {TABLE: table_section(trials, began.until_now()), NOT_STRUCK: left_out(LEFT_OUT)}
            write_sections(arguments.table, sections)
    return [finding for trial in trials for finding in trial.verdict.findings]


async def soak(world: World, arguments: argparse.Namespace, began: Began) -> list[str]:
    soaked = await soaking.soak(world, arguments.soak, arguments.seed, tell)
    section = soak_section(soaked, began.until_now())
    say(section)
    if arguments.table:
        write_sections(arguments.table, {SOAK: section})
    if arguments.json:
        write_json(arguments.json, soaked.trials, soaked.memory_mib)
    return soaked.findings


async def of_the_whole_run(world: World) -> list[str]:
    """What is asked once, at the end: the chain of audit records, and whether trespassing was a trial at all."""
    found, trespasser = [], world.trespasser
    broken_at = await world.records.first_break()
    if broken_at is not None:
        found.append(f"the audit chain is broken at entry {broken_at}")
    say(f"forged tickets: {trespasser.let_in} let in under live rights; refused {dict(trespasser.refusals)}")
    if not trespasser.let_in:
        found.append("no forged ticket was ever let in, so nothing is known of those that were refused")
    return found


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Where the world has its files; gone at the end, unless somebody wants to read them."""
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="feedgate-faults-") as folder:
        yield Path(folder)


def tell(trial: Trial) -> None:
    say(f"{row(trial)} {trial.took_s:.0f} s")
    for finding, times in counted(trial.verdict.findings):
        say(f"    {times} x {finding}")


def counted(findings: Sequence[str]) -> list[tuple[str, int]]:
    return [(finding, findings.count(finding)) for finding in dict.fromkeys(findings)]


def write_json(
    file: Path, trials: Sequence[Trial], memory_mib: Mapping[str, Sequence[float]] | None = None
) -> None:
    written: dict[str, Any] = {
        "verdicts": [{"fault": str(trial.fault), **asdict(trial.verdict)} for trial in trials]
    }
    if memory_mib is not None:
        written |= {"memory_mib": memory_mib, "memory_every_s": soaking.SAMPLE_S}
    file.write_text(json.dumps(written, indent=1), encoding="utf-8")


def write_sections(page: Path, sections: Mapping[str, str]) -> None:
    written = page.read_text(encoding="utf-8")
    for heading, body in sections.items():
        written = with_section(written, heading, body)
    page.write_text(written, encoding="utf-8")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main()
