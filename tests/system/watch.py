"""A live view being watched: everything it receives, as it comes, by this process's clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from feedgate_client import Notice, Picture, View
from feedgate_kit.clock import MICROSECONDS
from feedgate_tools.demo.story import People
from tests.servers.deployment import Deployment

TIMEOUT_S = 25.0
"""For everything that comes by itself: attempts at what failed are at most 2 s apart, on a machine that has time."""
PLAYING_PICTURES = 25


def now_us() -> int:
    return time.time_ns() // 1_000


class Watch:
    """What one view has received so far."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.notices: list[Notice] = []
        self.pictures_at_us: list[int] = []
        """When each picture was received."""
        self.sequences: list[int] = []
        """The number of each in its run."""
        self.after_gap: list[bool] = []
        """Whether each says that something is missing before it."""
        self.ended = False
        self._changed = asyncio.Event()

    @property
    def codes(self) -> list[str]:
        return [notice.code for notice in self.notices]

    def last_picture_before(self, at_us: int) -> int:
        """When the last picture before a moment was received."""
        return max((received for received in self.pictures_at_us if received < at_us), default=0)

    def pictures_between(self, from_us: int, until_us: int) -> int:
        return sum(from_us < received < until_us for received in self.pictures_at_us)

    async def until_playing(self, pictures: int = PLAYING_PICTURES) -> None:
        """Until so many more pictures have come."""
        wanted = len(self.pictures_at_us) + pictures
        await self._until(lambda: len(self.pictures_at_us) >= wanted, f"{pictures} pictures")

    async def until_picture(self, after_us: int) -> int:
        """When the first picture after a moment was received."""
        await self._until(
            lambda: bool(self.pictures_at_us) and self.pictures_at_us[-1] > after_us, "a picture"
        )
        return next(received for received in self.pictures_at_us if received > after_us)

    async def until_notice(self, code: str, after_us: int = 0) -> Notice:
        """The first notice of this code after a moment."""

        def found() -> list[Notice]:
            return [each for each in self.notices if each.code == code and each.received_at_us >= after_us]

        await self._until(lambda: bool(found()), f"notice `{code}`")
        return found()[0]

    async def until_ended(self) -> None:
        await self._until(lambda: self.ended, "the end of the view", even_ended=True)

    async def receive(self) -> None:
        """Take what comes until the view ends."""
        async for item in self.view:
            if isinstance(item, Picture):
                self.pictures_at_us.append(item.received_at_us)
                self.sequences.append(item.sequence)
                self.after_gap.append(item.follows_a_gap)
            else:
                self.notices.append(item)
            self._changed.set()
        self.ended = True
        self._changed.set()

    async def _until(self, holds: Callable[[], bool], what: str, *, even_ended: bool = False) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while not holds() and (even_ended or not self.ended):
                    self._changed.clear()
                    await self._changed.wait()
        if not holds():
            told = [(notice.code, notice.reason) for notice in self.notices]
            pytest.fail(
                f"{what} did not come; view {'ended' if self.ended else 'open'}; notices {told}; "
                f"{len(self.pictures_at_us)} pictures, the last "
                f"{(now_us() - self.last_picture_before(now_us())) / MICROSECONDS:.1f} s ago"
            )


@asynccontextmanager
async def watching(
    deployment: Deployment,
    people: People,
    grant_id: str,
    ticket: dict[str, Any] | None = None,
    relay: str = "relay",
    origin: str | None = None,
) -> AsyncIterator[Watch]:
    """An open view, watched; what is asked for is as in `Deployment.view`."""
    async with deployment.view(people, grant_id, ticket, relay, origin) as view:
        watch = Watch(view)
        receiving = asyncio.create_task(watch.receive())
        try:
            yield watch
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
