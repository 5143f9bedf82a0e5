"""Whether the database answers and stands at this version's revision, for readiness."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from feedgate_kit.database import Database
from feedgate_kit.migration import refuse_newer, schema_of

FIRST_ANSWER_S = 3.0

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

    async def refuse_newer(self) -> None:
        """At the start: do not run on a database that a later version has migrated for itself alone.

        One that does not answer now is waited for by `run`.

        Raises:
            NewerSchemaError: it is newer.
        """
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                await refuse_newer(self.database, self.package)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            logger.warning("database does not answer", error=type(error).__name__)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(self.interval_s)

    async def ask(self) -> None:
        """Ask once."""
        try:
            schema = await schema_of(self.database, self.package)
        except (SQLAlchemyError, OSError) as error:
            if self.answers:
                logger.warning("database does not answer", error=type(error).__name__)
            self.answers = False
        else:
            self.answers = True
            # A later version migrates beside those that run, and only adds to what they use.
            self.is_migrated = schema in {"current", "expanded"} or (schema == "newer" and self.is_migrated)
