"""What goes on while nobody asks: reviews after changes, and the ends of grants and requests."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from feedgate_access_policy.cameras import Cameras
from feedgate_access_policy.grant_desk import CLOSED_AT_ONCE, GrantDesk
from feedgate_access_policy.request_desk import SETTLED_AT_ONCE, RequestDesk
from feedgate_kit.telemetry import about_grant

logger = structlog.get_logger(__name__)


class Reviews:
    """Cameras whose open grants must be held against the law and the owner's will again."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._early: set[str] = set()
        self._woken = asyncio.Event()

    def ask_for(self, camera_ids: Collection[str]) -> None:
        """Have these cameras reviewed soon; never waits.

        Called with none where only a heartbeat was read: then with those whose
        grants were newer than what had been read.
        """
        self._waiting.update(camera_ids, self._early)
        self._early.clear()
        if self._waiting:
            self._woken.set()

    async def run(self, cameras: Cameras, desk: GrantDesk) -> None:
        """Review until cancelled.

        Every start begins with all open grants: packs may have changed, an owner
        may have acted while this process was away, an earlier run may have failed.
        """
        await cameras.caught_up.wait()
        self.ask_for(await desk.cameras_to_review())
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.review_all(desk)

    async def review_all(self, desk: GrantDesk) -> None:
        """Review everything that waits now."""
        while self._waiting:
            # Taken out first: a change that arrives meanwhile puts it in again.
            waiting, self._waiting = self._waiting, set()
            for camera_id in await desk.cameras_to_review(waiting):
                reviewed = await desk.review(camera_id)
                if reviewed.is_early:
                    self._early.add(camera_id)
                for grant in reviewed.changed:
                    with about_grant(grant.grant_id):
                        logger.info("grant changed", version=grant.version, closed_reason=grant.closed_reason)


class Upkeep:
    """Puts the ends of grants and requests on record, and counts what is left."""

    def __init__(
        self,
        request_desk: RequestDesk,
        grant_desk: GrantDesk,
        interval_s: float,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.request_desk = request_desk
        self.grant_desk = grant_desk
        self.interval_s = interval_s
        self.pause = pause

    async def run(self) -> None:
        """Keep on until cancelled."""
        while True:
            await self.turn()
            await self.pause(self.interval_s)

    async def turn(self) -> None:
        """Settle everything that is over now."""
        while await self.grant_desk.expire() == CLOSED_AT_ONCE:
            pass
        while await self.request_desk.expire() == SETTLED_AT_ONCE:
            pass
        await self.grant_desk.count()
