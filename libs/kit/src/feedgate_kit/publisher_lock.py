"""Which of a service's processes publishes, and the session on which it may ask.

The lock ends by itself when its holder stops: a session lock of PostgreSQL
stays for ever with a process that was stopped (SIGSTOP), while a transaction
that is not pinged is ended by `idle_in_transaction_session_timeout`, and its
lock with it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Executable, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError

PING_S = 0.5
IDLE_TIMEOUT_S = 2
STATEMENT_S = 60.0
"""Whoever is not answered by then asks on a session that may be gone: something on the way, a pooler say, holds the
connection open. Far more than the first question takes, which asks for every key there is (with 100,000 a service's
whole start takes some 2 s): a bound that it could reach would keep all dark for ever."""


class LockLostError(FeedgateError):
    """The session that held the lock is gone, or does not answer; another process may publish now."""

    retriable = True


class LockSession:
    """Asks the database under the lock: every answer was true while the lock was held."""

    def __init__(self, connection: AsyncConnection, statement_s: float) -> None:
        self._connection = connection
        self._statement_s = statement_s
        self._one_at_a_time = asyncio.Lock()

    async def rows(self, statement: Executable) -> Sequence[Any]:
        """The statement's rows.

        Raises:
            LockLostError: the session is gone, or does not answer. Nothing may be published on what was known before.
        """
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._statement_s):
                    return (await self._connection.execute(statement)).all()
            except TimeoutError:
                raise LockLostError(
                    f"no answer within {self._statement_s:g} s on the session with the publisher's lock"
                ) from None
            except (SQLAlchemyError, OSError) as error:
                raise LockLostError(f"the session that held the publisher's lock is gone: {error}") from error

    async def keep_alive(self) -> None:
        """Ping until cancelled, so that the transaction is never idle for long."""
        while True:
            await asyncio.sleep(PING_S)
            await self.rows(text("SELECT 1"))


def lock_name(source: str) -> str:
    """The lock under which the outbox of a service, `source`, may be published."""
    return f"publisher of {source}"


@asynccontextmanager
async def publisher_lock(
    database: Database, name: str, *, statement_s: float = STATEMENT_S
) -> AsyncIterator[LockSession]:
    """Wait for the lock `name`, and hold it while the context lasts.

    On SQLite the process itself is the lock: the data folder lets only one in.
    There each question is a transaction of its own, so that writers never wait.
    """
    if database.dialect == "sqlite":
        yield _ProcessSession(database)
        return
    async with database.engine.connect() as connection:
        await connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'"))
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
        )
        session = LockSession(connection, statement_s)
        pinging = asyncio.create_task(session.keep_alive(), name=f"ping lock {name}")
        try:
            yield session
        finally:
            pinging.cancel()
            with suppress(asyncio.CancelledError, LockLostError):
                await pinging
            with suppress(SQLAlchemyError, OSError):  # `TimeoutError` is one of these
                async with asyncio.timeout(statement_s):
                    await connection.rollback()


class _ProcessSession(LockSession):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, statement: Executable) -> Sequence[Any]:
        async with self._database.read() as connection:
            return (await connection.execute(statement)).all()
