"""Stops that were asked for and are not on record. While there is one, its service vouches for nothing.

A database may answer and take nothing: its disk is full, it has become a standby, its commits wait for a replica
that is away. A publisher finds nothing there that waits to be sent, would go on saying so, and pictures would stay
visible under owners who cannot stop. So a stop that could not be written is kept here and tried again until it can
be, and meanwhile no process of the service sends a heartbeat, so that all goes dark.

Other processes learn of it by a lock in the database itself, which needs no room on its disk and ends with the
session that holds it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import text

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.publisher_lock import LockSession

PATIENCE_S: Final = 2.5
"""A stop that is neither written nor refused by then is owed. Longer than a slow commit takes: owners stop all the
time, and a database that is only slow must not keep every picture dark."""
AGAIN_S: Final = 0.5
LONGEST_TRY_S: Final = 60.0
TELL_S: Final = 0.1
MOST_OWED_EACH: Final = 200
"""To one person. While a database is away nobody can tell whether what they stop is there, or theirs."""

TELL: Final = text("SELECT pg_advisory_lock_shared(hashtextextended(:name, 0))")
NOBODY_OWES: Final = text(
    "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(:name, 0))"
    " THEN pg_advisory_unlock(hashtextextended(:name, 0)) ELSE false END AS so"
)
"""The lock is taken alone for the moment of the question only."""

Result = TypeVar("Result")

logger = structlog.get_logger(__name__)


class StopOwedError(FeedgateError):
    """A stop was not written. It is tried again until it is, and nothing is vouched for meanwhile."""

    retriable: ClassVar[bool] = True


@dataclass(slots=True)
class _Debt:
    stop: Callable[[], Awaitable[Any]]
    within_s: float
    """How long the next try may take; longer after one that ran out of time, for the database may only be slow."""


class OwedStops:
    """Of one process; whichever publishes asks for those of all."""

    def __init__(
        self, database: Database, source: str, *, patience_s: float = PATIENCE_S, again_s: float = AGAIN_S
    ) -> None:
        """Owe nothing. `make_good` and `tell` have to run.

        Args:
            database: where stops are written.
            source: the service's name.
            patience_s: how long the first try of a stop may take.
            again_s: between two rounds of tries.
        """
        self.database = database
        self.lock_name = f"stops owed by {source}"
        self.patience_s = patience_s
        self.again_s = again_s
        self._debts: dict[tuple[str, str], _Debt] = {}
        self._owing = asyncio.Event()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def count(self) -> int:
        """How many this process owes."""
        return len(self._debts)

    async def carry_out(self, person: str, name: str, stop: Callable[[], Awaitable[Result]]) -> Result:
        """Make a stop; owe it where it is not written.

        Args:
            person: who stops. Theirs are made one after the other: many at once must not make each other late.
            name: of what they stop. Another one of that name makes it good, too.
            stop: writes it in one transaction. Done again, it changes nothing.

        Raises:
            FeedgateError: refused by a rule, so there is nothing to stop.
            StopOwedError: not written.
            Exception: not written, nor owed, for too much is owed to this person already.
        """
        async with self._turns.setdefault(person, asyncio.Lock()):
            try:
                async with asyncio.timeout(self.patience_s):
                    result = await stop()
            except FeedgateError:
                raise
            except Exception as error:
                if not self._owe((person, name), stop, error):
                    raise
                raise StopOwedError(
                    "the stop is not on record yet, for the database does not take it; it is tried again until it"
                    " does, and nobody's pictures are shown meanwhile"
                ) from error
        self._settle((person, name))
        return result

    async def is_owing(self, session: LockSession) -> bool:
        """Whether any process of the service owes a stop.

        Raises:
            LockLostError: the session is gone.
        """
        if self._debts or self.database.dialect == "sqlite":  # where there is one process
            return bool(self._debts)
        (answer,) = await session.rows(NOBODY_OWES.bindparams(name=self.lock_name))
        return not answer.so

    async def make_good(self) -> None:
        """Write what is owed as soon as the database takes it, until cancelled."""
        while True:
            await self._owing.wait()
            for name, debt in list(self._debts.items()):
                if name in self._debts:
                    await self._try(name, debt)
            await asyncio.sleep(self.again_s)

    async def tell(self) -> None:
        """Let the service's other processes know, until cancelled; on SQLite there is none."""
        while self.database.dialect == "postgresql":
            await self._owing.wait()
            try:
                async with self.database.alone.connect() as connection:
                    await connection.execute(TELL.bindparams(name=self.lock_name))
                    while self._owing.is_set():
                        await asyncio.sleep(TELL_S)
                        await connection.execute(
                            text("SELECT 1")
                        )  # to know at once when the session has ended
            except Exception as error:  # noqa: BLE001 - whatever it is, they have to be told
                logger.warning("other processes cannot be told of owed stops", error=type(error).__name__)
                await asyncio.sleep(TELL_S)

    def _owe(self, name: tuple[str, str], stop: Callable[[], Awaitable[Any]], error: Exception) -> bool:
        """Whether it is kept."""
        if name not in self._debts:
            if sum(person == name[0] for person, _ in self._debts) >= MOST_OWED_EACH:
                return False
            self._debts[name] = _Debt(stop, self.patience_s)
            self._owing.set()
            logger.error(
                "stop not on record; nothing is vouched for until it is", owed=self.count, exc_info=error
            )
        return True

    def _settle(self, name: tuple[str, str]) -> None:
        self._debts.pop(name, None)
        if not self._debts:
            self._owing.clear()

    async def _try(self, name: tuple[str, str], debt: _Debt) -> None:
        try:
            async with asyncio.timeout(debt.within_s):
                await debt.stop()
        except FeedgateError as refusal:
            logger.warning("owed stop refused", error=type(refusal).__name__, owed=self.count - 1)
        except TimeoutError:
            debt.within_s = min(debt.within_s * 2, LONGEST_TRY_S)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the stop is not written
            logger.warning("owed stop still not on record", error=type(error).__name__, owed=self.count)
            return
        else:
            logger.warning("owed stop on record", owed=self.count - 1)
        self._settle(name)
