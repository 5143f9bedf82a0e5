"""Owners who share, and stop at random; each stopped share is followed by a new one."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Final

from feedgate_kit.errors import FeedgateError
from feedgate_tools.demo.story import People
from tests.faults.recording import ShareRecord, Stop
from tests.faults.viewers import Showing

SHARED_S: Final = (3.0, 40.0)
"""How long an owner shares, at least and at most."""
STEADY: Final = 2
"""Owners who share on until their grant ends, so that somebody's right always outlasts a fault."""
AGAIN_S: Final = 0.25
"""Before a call that was not answered is made again."""
CALL_TIMEOUT_S: Final = 4.0


class Owner:
    """The owner of one camera, and whoever at the agency asks for it."""

    def __init__(
        self, owners: "Owners", camera_id: str, showing: Showing, seed: str, *, is_steady: bool
    ) -> None:
        self.camera_id = camera_id
        self.is_steady = is_steady
        self.showing = showing
        self.share: ShareRecord | None = None
        self.wishes_to_stop = asyncio.Event()
        """Set for a stop at a moment of somebody else's choice."""
        self._owners = owners
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Share and stop until cancelled."""
        while True:
            share = await self._open_share()
            self.share = share
            self._owners.shares[share.grant_id] = share
            self.showing.open(share.grant_id)
            await self._until_stopping()
            self.share = None
            await self._stop(share)
            self.showing.shut()

    async def _open_share(self) -> ShareRecord:
        people = self._owners.people
        authorisation_id = ""
        while True:
            try:
                authorisation_id = authorisation_id or await people.authorise(self.camera_id)
                request_id = await people.ask(self._owners.incident_id, self.camera_id)
                approved_s = time.monotonic()
                grant_id = await people.approve(request_id)
                grant = await people.call(people.cast.operator, "GET", f"/access-policy/v1/grants/{grant_id}")
            except FeedgateError as error:  # also while access-policy has not read the new terms
                self.showing.trouble = str(error)
            else:
                if grant["authorisation_id"] == authorisation_id:
                    return ShareRecord(self.camera_id, authorisation_id, request_id, grant_id, approved_s)
                # Nor had it read the last withdrawal: this grant is dead when it has.
                self.showing.trouble = "the grant is of an authorisation that was withdrawn"
            await asyncio.sleep(AGAIN_S)

    async def _until_stopping(self) -> None:
        """Unless steady, for a time of its own while owners stop at all; until told to, or the grant has ended."""
        self.wishes_to_stop.clear()
        reasons = {
            asyncio.create_task(self.showing.over.wait()),
            asyncio.create_task(self.wishes_to_stop.wait()),
        }
        try:
            while not any(reason.done() for reason in reasons):
                shared_s = None if self.is_steady else self._random.uniform(*SHARED_S)
                await asyncio.wait(reasons, timeout=shared_s, return_when=asyncio.FIRST_COMPLETED)
                if self._owners.stopping.is_set():
                    return
                permitted = asyncio.create_task(self._owners.stopping.wait())
                await asyncio.wait({*reasons, permitted}, return_when=asyncio.FIRST_COMPLETED)
                permitted.cancel()
        finally:
            for reason in reasons:
                reason.cancel()

    async def _stop(self, share: ShareRecord) -> None:
        stop = Stop(
            share.grant_id,
            share.authorisation_id,
            wished_s=time.monotonic(),
            is_afterwards=self.showing.over.is_set(),
        )
        self._owners.stops.append(stop)
        people = self._owners.people
        while stop.answered_s is None:
            try:
                await people.cast.owner()  # signed in first, so that the call is timed and not its issuer
                sent_s = time.monotonic()
                await people.withdraw(share.authorisation_id)
            except FeedgateError as error:
                self.showing.trouble = str(error)
                await asyncio.sleep(AGAIN_S)
            else:
                stop.sent_s, stop.answered_s = sent_s, time.monotonic()


class Owners:
    """All of them, on the same seed in every run."""

    def __init__(self, people: People, seed: int) -> None:
        self.people = people
        self.incident_id = ""
        self.owners: list[Owner] = []
        self.shares: dict[str, ShareRecord] = {}  # by grant
        self.stops: list[Stop] = []
        self.stopping = asyncio.Event()
        """Set while owners may begin to stop."""
        self._seed = seed

    async def register(self, sources: Sequence[str]) -> None:
        """A camera and an owner for each source."""
        self.incident_id = await self.people.report_incident()
        for number, source in enumerate(sources):
            camera_id = await self.people.register_camera(source)
            self.owners.append(
                Owner(self, camera_id, Showing(), f"{self._seed} {number}", is_steady=number < STEADY)
            )

    async def run(self) -> None:
        """Share and stop until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for owner in self.owners:
                tasks.create_task(owner.run())

    async def until_all_share(self, within_s: float) -> bool:
        """Until every camera is shared; whether that came true in time."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            if all(owner.share is not None for owner in self.owners):
                return True
            await asyncio.sleep(0.1)
        return False

    def let_one_stop(self) -> None:
        """Of those who stop at all, the one who has shared for longest stops now."""
        since_s = {
            owner.share.approved_s: owner
            for owner in self.owners
            if owner.share is not None and not owner.is_steady
        }
        if since_s:
            since_s[min(since_s)].wishes_to_stop.set()

    def withdrawn(self) -> list[str]:
        """Grants that must show nothing, the newest last."""
        return [stop.grant_id for stop in self.stops if stop.answered_s is not None]

    def live(self) -> list[str]:
        """Grants that viewers may look under."""
        return [owner.share.grant_id for owner in self.owners if owner.share is not None]
