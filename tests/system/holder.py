"""A process that holds something in PostgreSQL, and may be stopped while it does."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.servers.process import ServerProcess


@asynccontextmanager
async def holder_of(program: str, database_url: str, folder: Path) -> AsyncIterator[ServerProcess]:
    """Once it has said `held`; killed at the end.

    Args:
        program: Python, with the database's address as its argument.
        database_url: which database.
        folder: for its log.
    """
    holder = ServerProcess("holder", [sys.executable, "-c", program, database_url], folder / "holder.log")
    holder.start()
    try:
        await asyncio.to_thread(holder.wait_until, lambda: "held" in holder.last_words())
        yield holder
    finally:
        holder.kill()
