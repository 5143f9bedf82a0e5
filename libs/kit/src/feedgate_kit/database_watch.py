"""Whether the database answers and stands at this version's revision, for readiness."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from feedgate_kit.database import Database
from feedgate_kit.migration import is_current

logger = structlog.get_logger(__name__)


class DatabaseWatch:
    """What was found when the database was last asked."""

    def __init__(self, database: Database, package: str, interval_s: float) -> None:
        """Know nothing yet; `run` asks every `interval_s`."""
        self.database = database
        self.package = package
        self.interval_s = interval_s
        self.answers = False
        self.is_migrated = False

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(self.interval_s)

    async def ask(self) -> None:
        """Ask once."""
        try:
            self.is_migrated = await is_current(self.database, self.package)
        except (SQLAlchemyError, OSError) as error:
            if self.answers:
                logger.warning("database does not answer", error=type(error).__name__)
            self.answers = False
        else:
            self.answers = True
