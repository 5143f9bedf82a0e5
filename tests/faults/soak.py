"""Faults for a long time under many viewers: what stays in memory, and whether every picture is accounted for."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.faults import FAULTS, Fault
from tests.faults.processes import memory_mib
from tests.faults.recording import ViewRecord
from tests.faults.trial import Trial, Trials
from tests.faults.world import World

VIEWERS: Final = 100
EVERY_S: Final = 60.0
SAMPLE_S: Final = 5.0
GROWTH: Final = 1.05
"""Allowed from the second third of the time to the last."""
MOST_CUT_OFF: Final = 8
"""Pictures of one view: what the kernel holds for it, below a second and a half of them."""
ENDS_A_PROCESS: Final = frozenset({"SIGKILL", "disk full"})
"""Not here: what is started anew has nothing to show."""


@dataclass(slots=True)
class Accounts:
    """Of all views that ended: what the relay says it sent, and what their viewers received."""

    sent: int = 0
    received: int = 0
    in_broken_connections: int = 0
    """Sent to a viewer whose connection a fault had broken."""
    cut_off: int = 0
    """Handed to the kernel, and taken back from it when the view ended."""
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.sent} pictures sent, {self.received} received,"
            f" {self.in_broken_connections} in connections that a fault had broken,"
            f" {self.cut_off} cut off with their view; {len(self.unexplained)} views unexplained"
        )

    def add(self, view: ViewRecord, sent: int, *, relay_struck: bool) -> None:
        """One view that ended.

        Args:
            view: as its viewer saw it.
            sent: pictures, as the relay put it on record.
            relay_struck: whether the fault of its last minute was the relay's.
        """
        received = len(view.pictures_s)
        self.sent += sent
        self.received += received
        if received < sent and not view.last_words and relay_struck:
            self.in_broken_connections += sent - received
        elif view.cut_off and 0 < sent - received <= MOST_CUT_OFF:
            self.cut_off += sent - received
        elif received != sent:
            self.unexplained.append(f"view {view.view_id}: {sent} pictures sent, {received} received")


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of one target: the median over two thirds of the time."""

    second_mib: float
    last_mib: float

    @property
    def ratio(self) -> float:
        return self.last_mib / self.second_mib


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak has shown."""

    trials: list[Trial]
    memory_mib: Mapping[str, Sequence[float]]
    """Of each target, every `SAMPLE_S`."""
    accounts: Accounts

    @property
    def growth(self) -> dict[str, Growth]:
        return {name: growth_of(samples) for name, samples in self.memory_mib.items()}

    @property
    def findings(self) -> list[str]:
        """Everything that may not be."""
        grown = [
            f"{name} grew from {each.second_mib:.0f} to {each.last_mib:.0f} MiB"
            for name, each in self.growth.items()
            if each.ratio > GROWTH
        ]
        of_faults = [finding for trial in self.trials for finding in trial.verdict.findings]
        return [*of_faults, *grown, *self.accounts.unexplained]


class Memory:
    """Of every target, looked at again and again."""

    def __init__(self, world: World) -> None:
        self._gids = {name: target.place.gid for name, target in world.targets.items()}
        self.samples_mib: dict[str, list[float]] = {name: [] for name in self._gids}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for name, gid in self._gids.items():
                self.samples_mib[name].append(memory_mib(gid))
            await asyncio.sleep(SAMPLE_S)


def growth_of(samples: Sequence[float]) -> Growth:
    """Of samples at even distances, three at least."""
    third = len(samples) // 3
    return Growth(
        second_mib=statistics.median(samples[third : 2 * third]),
        last_mib=statistics.median(samples[2 * third :]),
    )


async def soak(world: World, minutes: float, seed: int, tell: Callable[[Trial], None]) -> Soaked:
    """A fault a minute, of those that end no process, in an order that the seed gives."""
    in_turn, memory = Trials(world), Memory(world)
    watching = asyncio.create_task(memory.run())
    ended: dict[str, ViewRecord] = {}
    trials: list[Trial] = []
    until_s = time.monotonic() + minutes * 60
    broken: set[str] = set()
    for fault in _shuffled(seed):
        next_s = time.monotonic() + EVERY_S
        if next_s > until_s:
            break
        trials.append(await in_turn.run(fault))
        tell(trials[-1])
        ended |= {view.view_id: view for view in in_turn.ended}
        if fault.breaks_connections:
            broken |= {view.view_id for view in in_turn.ended}
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return Soaked(trials, memory.samples_mib, _accounts(ended, broken, world.records.pictures_by_view))


def _accounts(ended: Mapping[str, ViewRecord], broken: Collection[str], sent: Mapping[str, int]) -> Accounts:
    """Views without an end on record are left out: the judge of each fault asks for that."""
    accounts = Accounts()
    for view_id, view in ended.items():
        if view_id in sent:
            accounts.add(view, sent[view_id], relay_struck=view_id in broken)
    return accounts


def _shuffled(seed: int) -> Iterator[Fault]:
    """Without end; each comes once before any comes again."""
    mood = random.Random(seed)
    faults = [fault for fault in FAULTS if fault.how not in ENDS_A_PROCESS]
    while True:
        mood.shuffle(faults)
        yield from faults
