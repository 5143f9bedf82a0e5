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
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.publisher_lock import LockSession

PATIENCE_S: Final = 3.0
"""A stop that is neither written nor refused by then is owed. Longer than a slow commit takes: owners stop all the
time, and a database that is only slow must not keep every picture dark."""
TRY_S: Final = 10.0
AGAIN_S: Final = 0.5
TELL_S: Final = 0.1
SESSION_IDLE_S: Final = 20.0
"""Before `idle_session_timeout`, between two signs of life on the session that waits to tell."""
ANSWER_S: Final = 2.0
TURNS_EACH: Final = 10
MOST_OWED_EACH: Final = 200
"""To one person. While a database is away nobody can tell whether what they stop is there, or theirs."""

TELL: Final = text("SELECT pg_advisory_lock_shared(hashtextextended(:name, 0))")
NOBODY_OWES: Final = text(
    "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(:name, 0))"
    " THEN pg_advisory_unlock(hashtextextended(:name, 0)) ELSE false END AS so"
)
"""The lock is taken alone for the moment of the question only."""

Stop = Callable[[], Awaitable[Any]]
Result = TypeVar("Result")

logger = structlog.get_logger(__name__)


class StopOwedError(FeedgateError):
    """A stop was not written. It is tried again until it is, and nothing is vouched for meanwhile."""

    retriable: ClassVar[bool] = True


class TooMuchOwedError(FeedgateError):
    """A stop was not written, nor is it kept: its person is owed as many as are."""

    retriable: ClassVar[bool] = True


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
        self._owed: dict[tuple[str, str], Stop] = {}
        self._owing = asyncio.Event()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._given_up: set[asyncio.Future[Any]] = set()
        """Tries that were told to end and have not yet."""

    @property
    def count(self) -> int:
        """How many this process owes."""
        return len(self._owed)

    async def carry_out(self, person: str, name: str, stop: Callable[[], Awaitable[Result]]) -> Result:
        """Make a stop; owe it where it is not written.

        Args:
            person: who stops. One who sends thousands at once waits for their own, and makes nobody's late.
            name: of what they stop. Another one of that name makes it good, too.
            stop: writes it in one transaction. Done again, it changes nothing.

        Raises:
            FeedgateError: refused by a rule, so there is nothing to stop.
            StopOwedError: not written.
            TooMuchOwedError: not written, nor owed.
        """
        async with self._turns.setdefault(person, asyncio.Semaphore(TURNS_EACH)):
            try:
                result = await self._within(self.patience_s, stop)
            except FeedgateError:
                raise
            except Exception as error:
                self._owe(person, name, stop, error)
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
        if self._owed or self.database.dialect == "sqlite":  # where there is one process
            return bool(self._owed)
        (answer,) = await session.rows(NOBODY_OWES.bindparams(name=self.lock_name))
        return not answer.so

    async def make_good(self) -> None:
        """Write what is owed as soon as the database takes it, until cancelled."""
        while True:
            await self._owing.wait()
            for name, stop in list(self._owed.items()):
                if self._owed.get(name) is stop:
                    await self._try(name, stop)
            await asyncio.sleep(self.again_s)

    async def tell(self) -> None:
        """Let the service's other processes know, until cancelled; on SQLite there is none.

        The session is there beforehand: that no more are to be had may be why a stop is owed.
        """
        while self.database.dialect == "postgresql":
            try:
                async with self.database.alone.connect() as connection:
                    await self._tell_on(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, they have to be told
                logger.warning("other processes cannot be told of owed stops", error=type(error).__name__)
                await asyncio.sleep(TELL_S)

    async def _tell_on(self, connection: AsyncConnection) -> None:
        """Until what was owed is on record."""

        async def ask(statement: Executable) -> None:
            async with asyncio.timeout(ANSWER_S):
                await connection.execute(statement)

        sign_of_life = text("SELECT 1")
        while not self._owing.is_set():
            await ask(sign_of_life)
            with suppress(TimeoutError):
                async with asyncio.timeout(SESSION_IDLE_S):
                    await self._owing.wait()
        await ask(TELL.bindparams(name=self.lock_name))
        while self._owing.is_set():
            await asyncio.sleep(TELL_S)
            await ask(sign_of_life)

    def _owe(self, person: str, name: str, stop: Stop, error: Exception) -> None:
        is_new = (person, name) not in self._owed
        if is_new and sum(other == person for other, _ in self._owed) >= MOST_OWED_EACH:
            raise TooMuchOwedError(f"{MOST_OWED_EACH} stops are owed to this person already") from error
        self._owed[person, name] = stop
        self._owing.set()
        if is_new:
            logger.error(
                "stop not on record; nothing is vouched for until it is", owed=self.count, exc_info=error
            )

    def _settle(self, name: tuple[str, str]) -> None:
        self._owed.pop(name, None)
        if not self._owed:
            self._owing.clear()

    async def _try(self, name: tuple[str, str], stop: Stop) -> None:
        try:
            await self._within(TRY_S, stop)
        except FeedgateError as refusal:
            logger.warning("owed stop refused", error=type(refusal).__name__, owed=self.count - 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stop is not written
            logger.warning("owed stop still not on record", error=type(error).__name__, owed=self.count)
            return
        else:
            logger.warning("owed stop on record", owed=self.count - 1)
        if self._owed.get(name) is stop:
            self._settle(name)

    async def _within(self, seconds: float, stop: Callable[[], Awaitable[Result]]) -> Result:
        """What it gives; one that does not end in time is told to, and not waited for.

        Raises:
            Exception: what it raises.
            TimeoutError: it did not end in time, or by itself.
        """
        attempt = asyncio.ensure_future(stop())
        try:
            await asyncio.wait({attempt}, timeout=seconds)
            if attempt.done() and not attempt.cancelled():
                return attempt.result()
        finally:
            if attempt.cancel():
                self._given_up.add(attempt)
                attempt.add_done_callback(self._forget)
        raise TimeoutError(f"neither written nor refused within {seconds:g} s")

    def _forget(self, attempt: asyncio.Future[Any]) -> None:
        self._given_up.discard(attempt)
        if not attempt.cancelled():
            attempt.exception()  # looked at, so that nobody is told that it never was
