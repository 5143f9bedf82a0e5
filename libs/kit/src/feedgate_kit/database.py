"""A service's own database: PostgreSQL, or SQLite in one process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from feedgate_kit.errors import OperatorError

SQLITE_BUSY_TIMEOUT_S = 10
"""How long a writer waits for another writer of the same SQLite file."""


IDLE_TRANSACTION_S: Final = 5
"""A transaction that waits this long for its own process is ended, and its locks with it: an owner's stop may wait for
them."""

SESSION: Final = {
    "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_S}s",
    "idle_session_timeout": "60s",  # those that a rush opened, and nobody needs after it
    # A machine that has vanished says nothing: PostgreSQL would keep its sessions for hours, and run out of them.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "20s",
}
"""What PostgreSQL is told of each session (PostgreSQL 14, "Client Connection Defaults", "Connection Settings")."""

OUR_SOCKET: Final = {
    "SO_KEEPALIVE": 1,
    "TCP_KEEPIDLE": 4,
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 2,
    "TCP_USER_TIMEOUT": 10_000,
}
"""What our own end of it is told: a server that has vanished, or has forgotten the connection, is not waited for.

Whoever waits for an answer sends nothing, and would wait for ever; whoever sends would for a quarter of an hour. The
kernel asks after 4 s of silence, and gives up at 10 s by either rule (tcp(7); in seconds, the last in milliseconds).
A server that is frozen still answers it.
"""


class DatabaseUrlError(OperatorError):
    """The URL names a database this product does not speak to."""


class Database:
    """An engine with the transactions the services need.

    Every transaction ends with its context: committed, or rolled back if an
    error leaves it.
    """

    engine: AsyncEngine
    alone: AsyncEngine
    """Of PostgreSQL, sessions outside the pool, each statement by itself: for what has to be said when all is taken."""
    dialect: Literal["postgresql", "sqlite"]
    committed: asyncio.Event
    """Set after every transaction of `begin` here; whoever waits for it clears it."""

    def __init__(self, url: str) -> None:
        """Open no connection yet.

        Args:
            url: `postgresql+asyncpg://…` or `sqlite+aiosqlite:///<file>`.

        Raises:
            DatabaseUrlError: another driver was named.
        """
        self.committed = asyncio.Event()
        driver = make_url(url).drivername
        if driver == "postgresql+asyncpg":
            self.dialect = "postgresql"
            self.engine = create_async_engine(
                url,
                connect_args={"server_settings": SESSION},
                pool_pre_ping=True,
                pool_use_lifo=True,  # so that those not needed are idle
                hide_parameters=True,
            )
            self.alone = create_async_engine(
                url,
                connect_args={"server_settings": SESSION},
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
            )
            _notice_a_vanished_server(self.engine)
            _notice_a_vanished_server(self.alone)
        elif driver == "sqlite+aiosqlite":
            self.dialect = "sqlite"
            self.engine = create_async_engine(
                url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S}, hide_parameters=True
            )
            self.alone = self.engine  # one process: nobody else has to be told anything
            _make_sqlite_durable(self.engine)
        else:
            raise DatabaseUrlError(
                f"database driver `{driver}`; allowed: `postgresql+asyncpg`, `sqlite+aiosqlite`"
            )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write."""
        async with self.engine.begin() as connection:
            yield connection
        self.committed.set()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads; on SQLite it does not wait for a writer."""
        async with self.engine.connect() as connection:
            reading = await connection.execution_options(feedgate_reading=True)
            async with reading.begin():
                yield reading

    async def close(self) -> None:
        await self.engine.dispose()


def _notice_a_vanished_server(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect", insert=True)  # before the dialect's own first questions
    def _configure(connection: Any, _: Any) -> None:
        transport = connection.driver_connection._transport  # noqa: SLF001 - asyncpg has no option for it
        if transport.is_closing():
            return
        connected = transport.get_extra_info("socket")
        if connected.family == socket.AF_UNIX:
            return
        for option, value in OUR_SOCKET.items():
            if (number := getattr(socket, option, None)) is not None:  # not every system has each
                level = socket.SOL_SOCKET if option.startswith("SO_") else socket.IPPROTO_TCP
                connected.setsockopt(level, number, value)


def _make_sqlite_durable(engine: AsyncEngine) -> None:
    """Commits survive a power cut, and a writer takes its lock when it begins.

    SQLite's deferred transactions fail with "database is locked" when a reader
    turns writer beside another one; BEGIN IMMEDIATE waits its turn instead
    (sqlite.org, "Transactions" 2.2). The driver must then not begin by itself.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("feedgate_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
