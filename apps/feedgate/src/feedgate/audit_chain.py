"""Whether the audit chain is unbroken, for whoever holds its database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from feedgate.data_folder import DataFolder, DataFolderError
from feedgate.service_databases import database_errors
from feedgate_audit.chain import GENESIS, ChainEntry, first_break
from feedgate_audit.store import AuditStore
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database

ENTRIES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a walk along the chain found; `str` is the line for a person."""

    length: int  # entries that follow from the ones before them
    last_hash: bytes  # of the last of them
    broken_at: int | None  # position of the first that does not

    @property
    def is_unbroken(self) -> bool:
        return self.broken_at is None

    def __str__(self) -> str:
        entries = f"{self.length} entr{'y' if self.length == 1 else 'ies'}"
        if self.broken_at is None:
            return f"unbroken: {entries}, the last with hash {self.last_hash.hex()}"
        return f"broken at entry {self.broken_at}: it does not follow from the {entries} before it"


def audit_database_of(folder: Path) -> str:
    """The URL of audit's database in a data folder.

    Raises:
        DataFolderError: there is none.
    """
    data = DataFolder(folder)
    if not data.database_file("audit").is_file():
        raise DataFolderError(f"`{folder}` holds no audit database; name the folder with --data")
    return data.database_url("audit")


async def verify_chain(database_url: str) -> ChainReport:
    """Walk the whole chain.

    Raises:
        ServiceDatabaseError: it cannot be read.
    """
    with database_errors("the audit chain cannot be read"):
        database = Database(database_url)
        try:
            walk = _Walk(AuditStore(database, SystemClock()).entries(ENTRIES_AT_ONCE))
            # In a thread: hashing a long chain would hold up the loop that reads it.
            broken_at = await asyncio.to_thread(first_break, walk)
        finally:
            await database.close()
    if broken_at is None:
        return ChainReport(walk.taken, walk.last_hash, None)
    return ChainReport(broken_at - 1, walk.hash_before, broken_at)


class _Walk:
    """The entries for a reader in another thread; a chain may be longer than memory."""

    def __init__(self, entries: AsyncIterator[ChainEntry]) -> None:
        self._entries = entries
        self._loop = asyncio.get_running_loop()
        self.taken = 0
        self.last_hash = GENESIS
        self.hash_before = GENESIS
        """Of the entry before the last one taken."""

    def __iter__(self) -> Iterator[ChainEntry]:
        while page := asyncio.run_coroutine_threadsafe(self._page(), self._loop).result():
            for entry in page:
                self.taken += 1
                self.hash_before, self.last_hash = self.last_hash, entry.hash
                yield entry

    async def _page(self) -> list[ChainEntry]:
        page: list[ChainEntry] = []
        async for entry in self._entries:
            page.append(entry)
            if len(page) == ENTRIES_AT_ONCE:
                break
        return page
