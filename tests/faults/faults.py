"""The faults: what is struck, and how."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.faults.network import Manner
from tests.faults.processes import signal_all
from tests.faults.world import BROKERS, TARGETS, Target, World

HOUR_S: Final = 3_600
COMMIT_S: Final = 2
"""What every commit takes longer while commits are slow."""

Strike = Callable[[World, Target], AbstractAsyncContextManager[None]]
"""The fault lasts as long as the context."""


# How.


@asynccontextmanager
async def killed(world: World, target: Target) -> AsyncIterator[None]:
    del world
    signal_all(target.place.group, signal.SIGKILL)
    target.process().kill()
    yield
    await target.start()


@asynccontextmanager
async def stopped(world: World, target: Target) -> AsyncIterator[None]:
    del world
    signal_all(target.place.group, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(target.place.group, signal.SIGCONT)


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


@asynccontextmanager
async def slow_commits(world: World, target: Target) -> AsyncIterator[None]:
    """In PostgreSQL itself: a transaction that writes for the bus or for the audit log waits at its commit."""
    databases = world.deployment.databases
    names = [target.name] if target.name in databases else list(databases)
    for name in names:
        await asyncio.to_thread(world.postgres.execute, SLOW[name], databases[name].name)
    try:
        yield
    finally:
        for name in names:
            await asyncio.to_thread(world.postgres.execute, QUICK, databases[name].name)


def _slow(*tables: str) -> str:
    """A deferred constraint runs at commit, and once in each transaction."""
    triggers = " ".join(
        f"CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION slow_commit();"
        for table in tables
    )
    return f"""
        CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF current_setting('faults.waited', true) IS DISTINCT FROM txid_current()::text THEN
                PERFORM set_config('faults.waited', txid_current()::text, true);
                PERFORM pg_sleep({COMMIT_S});
            END IF;
            RETURN NULL;
        END $$;
        {triggers}
    """


OUTBOX: Final = ("outbox_state", "outbox_event")
SLOW: Final = {
    "registry": _slow(*OUTBOX),
    "access-policy": _slow(*OUTBOX),
    "audit": _slow("audit_entry"),
}
QUICK: Final = "DROP FUNCTION slow_commit() CASCADE"


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
    "half-open": How(cut("silence"), 9.0, VOUCHING),
    "disk full": How(full_disk, 8.0),
    "clock +1 h": How(stepped(HOUR_S), 7.0, BY_CLOCK),
    "clock -1 h": How(stepped(-HOUR_S), 7.0, BY_CLOCK),
    "slow commits": How(slow_commits, 8.0),
}

_NO_DISK: Final = "writes to no disk of its own"
_NO_COMMITS: Final = "has no database"
_BROKER_CLOCK: Final = "not tried: a JVM under libfaketime is not the JVM that runs elsewhere"
LEFT_OUT: Final[Mapping[tuple[str, str], str]] = {
    **{(target, "disk full"): _NO_DISK for target in ("ingest", "relay", "issuer")},
    **{
        (target, "disk full"): "its disk is PostgreSQL's, struck there"
        for target in ("registry", "access-policy", "audit")
    },
    **{(target, "slow commits"): _NO_COMMITS for target in ("ingest", "relay", "issuer")},
    **{
        (target, "slow commits"): "acknowledges by replication; a slow disk is another fault"
        for target in BROKERS
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

    def strike(self, world: World) -> AbstractAsyncContextManager[None]:
        return HOW[self.how].strike(world, world.targets[self.target])


FAULTS: Final = [Fault(target, how) for target in TARGETS for how in HOW if (target, how) not in LEFT_OUT]
