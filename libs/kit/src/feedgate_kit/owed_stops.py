"""Stops that were asked for and are not on record. While there is one, its service vouches for nothing.

A database may answer and take nothing: its disk is full, it has become a standby, its commits wait for a replica
that is away. A publisher finds nothing there that waits to be sent, would go on saying so, and pictures would stay
visible under owners who cannot stop. So a stop that could not be written is kept here and tried again until it can
be, and meanwhile no process of the service sends a heartbeat: all goes dark within the freshness bound.

Other processes learn of it by a lock in the database itself, which needs no room on its disk and ends with the
session that holds it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.publisher_lock import LockSession

PATIENCE_S: Final = 2.5
"""A stop that is neither written nor refused after this is owed. Longer than a slow commit takes: owners stop all the
time, and a database that is only slow must not keep every picture dark."""
AGAIN_S: Final = 0.5
TRY_S: Final = 5.0
MOST_OWED: Final = 10_000
"""While a database is away anybody with a token may ask for stops of anything."""

NOT_TAKEN: Final = (SQLAlchemyError, OSError)
"""What says that the database did not take it, and nothing of the stop itself."""

TELL: Final = text("SELECT pg_advisory_lock_shared(hashtextextended(:name, 0))")
NOBODY_OWES: Final = text(
    "SELECT CASE WHEN pg_try_advisory_lock(hashtextextended(:name, 0))"
    " THEN pg_advisory_unlock(hashtextextended(:name, 0)) ELSE false END AS so"
)
"""The lock is taken alone for the moment of the question only."""

Result = TypeVar("Result")

logger = structlog.get_logger(__name__)


class StopOwedError(FeedgateError):
    """The database did not take a stop. It is tried again until it does, and nothing is vouched for meanwhile."""

    retriable: ClassVar[bool] = True


class OwedStops:
    """Of one process; whichever publishes asks for those of all."""

    def __init__(
        self, database: Database, source: str, *, patience_s: float = PATIENCE_S, again_s: float = AGAIN_S
    ) -> None:
        """Owe nothing; `run` has to run for anything to be made good.

        Args:
            database: where stops are written.
            source: the service's name.
            patience_s: a stop that is under way for longer is owed.
            again_s: between two attempts at what is owed.
        """
        self.database = database
        self.lock_name = f"stops owed by {source}"
        self.patience_s = patience_s
        self.again_s = again_s
        self._late: set[object] = set()
        """Those that are under way for longer than `patience_s`."""
        self._failed: dict[Hashable, Callable[[], Awaitable[Any]]] = {}
        self._owing = asyncio.Event()

    @property
    def count(self) -> int:
        """How many this process owes."""
        return len(self._late) + len(self._failed)

    async def carry_out(self, name: Hashable, stop: Callable[[], Awaitable[Result]]) -> Result:
        """Make a stop; owe it where the database does not take it.

        Args:
            name: says whose stop of what it is. Another one of that name makes it good, too.
            stop: writes it in one transaction. Done again, it changes nothing.

        Raises:
            StopOwedError: the database did not take it.
        """
        with self._noticed_when_late():
            try:
                result = await stop()
            except NOT_TAKEN as error:
                self._owe(name, stop, error)
                raise StopOwedError(
                    "your stop is not on record yet, for the database does not take it; it is tried again until it"
                    " does, and nobody's pictures are shown meanwhile; ask again for its proof"
                ) from error
            self._settle(name)
        return result

    async def any(self, session: LockSession) -> bool:
        """Whether any process of the service owes a stop.

        Raises:
            LockLostError: the session is gone.
        """
        if self.count or self.database.dialect == "sqlite":  # where there is one process
            return self.count > 0
        (answer,) = await session.rows(NOBODY_OWES.bindparams(name=self.lock_name))
        return not answer.so

    async def run(self) -> None:
        """Tell other processes of what is owed, and write it as soon as the database takes it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make_good())
            if self.database.dialect == "postgresql":
                tasks.create_task(self._tell())

    @contextmanager
    def _noticed_when_late(self) -> Iterator[None]:
        one = object()

        def is_late() -> None:
            self._late.add(one)
            self._owing.set()
            logger.error(
                "stop still not on record; nothing is vouched for until it is", after_s=self.patience_s
            )

        timer = asyncio.get_running_loop().call_later(self.patience_s, is_late)
        try:
            yield
        finally:
            timer.cancel()
            self._late.discard(one)
            self._noticed()

    def _owe(self, name: Hashable, stop: Callable[[], Awaitable[Any]], error: Exception) -> None:
        if name in self._failed or len(self._failed) >= MOST_OWED:
            return
        self._failed[name] = stop
        self._noticed()
        logger.error(
            "stop not on record; nothing is vouched for until it is", owed=self.count, exc_info=error
        )

    def _settle(self, name: Hashable) -> None:
        self._failed.pop(name, None)
        self._noticed()

    def _noticed(self) -> None:
        if self.count:
            self._owing.set()
        else:
            self._owing.clear()

    async def _make_good(self) -> None:
        while True:
            await self._owing.wait()
            for name, stop in list(self._failed.items()):
                await self._try(name, stop)
            await asyncio.sleep(self.again_s)

    async def _try(self, name: Hashable, stop: Callable[[], Awaitable[Any]]) -> None:
        try:
            async with asyncio.timeout(TRY_S):
                await stop()
        except NOT_TAKEN:
            return
        except Exception as error:  # noqa: BLE001 - it was made good meanwhile, or there is nothing to stop
            logger.warning("owed stop refused", error=type(error).__name__, owed=self.count - 1)
        else:
            logger.warning("owed stop on record", owed=self.count - 1)
        self._settle(name)

    async def _tell(self) -> None:
        while True:
            await self._owing.wait()
            try:
                async with self.database.alone.connect() as connection:
                    await connection.execute(TELL.bindparams(name=self.lock_name))
                    while self._owing.is_set():
                        await asyncio.sleep(self.again_s)
                        await connection.execute(text("SELECT 1"))  # the session of a silent process is ended
            except NOT_TAKEN as error:
                logger.warning("other processes cannot be told of owed stops", error=type(error).__name__)
                await asyncio.sleep(self.again_s)
