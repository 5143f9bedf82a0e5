"""The faults: what is struck, and how."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.faults.commits import WRITTEN, Commits
from tests.faults.network import Manner
from tests.faults.processes import signal_all
from tests.faults.world import BROKERS, TARGETS, Target, World

HOUR_S: Final = 3_600

Strike = Callable[[World, Target], AbstractAsyncContextManager[None]]
"""The fault lasts as long as the context."""


# How.


@asynccontextmanager
async def killed(world: World, target: Target) -> AsyncIterator[None]:
    del world
    signal_all(target.place.gid, signal.SIGKILL)
    target.process().kill()
    yield
    await target.start()


@asynccontextmanager
async def stopped(world: World, target: Target) -> AsyncIterator[None]:
    del world
    signal_all(target.place.gid, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(target.place.gid, signal.SIGCONT)


def cut(manner: Manner) -> Strike:
    @asynccontextmanager
    async def strike(world: World, target: Target) -> AsyncIterator[None]:
        world.network.cut(target.place, manner)
        try:
            yield
        finally:
            world.network.mend(target.place, manner)

    return strike


@asynccontextmanager
async def parted_from_kafka(world: World, target: Target) -> AsyncIterator[None]:
    brokers = [world.targets[name].place for name in BROKERS]
    world.network.part(target.place, brokers)
    try:
        yield
    finally:
        world.network.join(target.place, brokers)


@asynccontextmanager
async def full_disk(world: World, target: Target) -> AsyncIterator[None]:
    """After it there is room again, and a server that has ended is started."""
    del world
    assert target.disk is not None
    target.disk.fill()
    try:
        yield
    finally:
        target.disk.free()
    if target.name in BROKERS:  # a broker gives up a log directory that failed once, also where it runs on
        target.process().kill()
    if not target.process().running:
        await target.start()


def stepped(seconds: int) -> Strike:
    @asynccontextmanager
    async def strike(world: World, target: Target) -> AsyncIterator[None]:
        del world
        assert target.clock is not None
        target.clock.step(seconds)
        try:
            yield
        finally:
            target.clock.step(0)

    return strike


def commits(change: Callable[[Commits, str], Awaitable[None]]) -> Strike:
    """Of one service, or of all where the database itself is the target."""

    @asynccontextmanager
    async def strike(world: World, target: Target) -> AsyncIterator[None]:
        services = [target.name] if target.name in WRITTEN else list(WRITTEN)
        for service in services:
            await change(world.commits, service)
        try:
            yield
        finally:
            for service in services:
                await world.commits.as_ever(service)

    return strike


# What.


@dataclass(frozen=True, slots=True)
class How:
    """One way to strike."""

    strike: Strike
    hold_s: float
    """How long it lasts: longer than the 5 s in which pictures have to be dark, where they have to be."""
    blinds: frozenset[str] = frozenset()
    """Targets without which nobody can vouch for what owners want: all is dark until it is over."""


VOUCHING: Final = frozenset({"registry", "access-policy", "postgres", "relay"})
BY_CLOCK: Final = frozenset({"registry", "access-policy", "relay"})

HOW: Final[Mapping[str, How]] = {
    "SIGKILL": How(killed, 7.0, VOUCHING),
    "SIGSTOP 15 s": How(stopped, 15.0, VOUCHING),
    "network cut": How(cut("reset"), 8.0, VOUCHING),
    "half-open": How(cut("silence"), 22.0, VOUCHING),  # PostgreSQL forgets such a connection after 20 s
    "half-open to Kafka": How(parted_from_kafka, 9.0, VOUCHING),
    "disk full": How(full_disk, 8.0),
    "clock +1 h": How(stepped(HOUR_S), 7.0, BY_CLOCK),
    "clock -1 h": How(stepped(-HOUR_S), 7.0, BY_CLOCK),
    "slow commits": How(commits(Commits.slow), 8.0),
    "refused commits": How(commits(Commits.refused), 8.0),
}

_NO_DISK: Final = "writes to no disk of its own"
_OF_COMMITS: Final = ("slow commits", "refused commits")
_NO_COMMITS: Final = "has no database"
_REPLICATES: Final = "acknowledges by replication; a slow disk or a full one is another fault"
_BROKER_CLOCK: Final = "not tried: a JVM under libfaketime is not the JVM that runs elsewhere"
LEFT_OUT: Final[Mapping[tuple[str, str], str]] = {
    **{(target, "disk full"): _NO_DISK for target in ("ingest", "relay", "issuer")},
    **{
        (target, "disk full"): "its disk is PostgreSQL's, struck there"
        for target in ("registry", "access-policy", "audit")
    },
    **{(target, how): _NO_COMMITS for how in _OF_COMMITS for target in ("ingest", "relay", "issuer")},
    **{(target, how): _REPLICATES for how in _OF_COMMITS for target in BROKERS},
    **{
        (target, "half-open to Kafka"): "struck whole; a relay alone shows pictures to somebody meanwhile"
        for target in TARGETS
        if target != "relay"
    },
    **{(target, how): _BROKER_CLOCK for target in BROKERS for how in ("clock +1 h", "clock -1 h")},
}
"""What is not struck, and why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One target, struck in one way."""

    target: str
    how: str

    def __str__(self) -> str:
        return f"{self.target}: {self.how}"

    @property
    def hold_s(self) -> float:
        return HOW[self.how].hold_s

    @property
    def rights_unknown(self) -> bool:
        """Whether all has to be dark while it lasts."""
        return self.target in HOW[self.how].blinds

    @property
    def breaks_connections(self) -> bool:
        """Whether viewers lose theirs by the fault itself."""
        return self.target == "relay" and self.how in {"SIGKILL", "SIGSTOP 15 s", "network cut", "half-open"}

    def strike(self, world: World) -> AbstractAsyncContextManager[None]:
        return HOW[self.how].strike(world, world.targets[self.target])


FAULTS: Final = [Fault(target, how) for target in TARGETS for how in HOW if (target, how) not in LEFT_OUT]
