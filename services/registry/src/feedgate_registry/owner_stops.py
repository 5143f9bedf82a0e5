"""The owner's acts that take something away: carried out, or owed until the database takes them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from feedgate_kit.clock import Clock
from feedgate_kit.owed_stops import OwedStops
from feedgate_registry.acts import AcceptVersion, OwnerActs
from feedgate_registry.authorisation import Authorisation
from feedgate_registry.metrics import RegistryMetrics
from feedgate_registry.record import OwnCamera
from feedgate_registry.stop import Stop

Done = TypeVar("Done")


class OwnerStops:
    """What `OwnerActs` does of the same names.

    Each raises besides `StopOwedError` where the database does not take it: it is tried again then, and nobody's
    pictures are shown until it is on record.
    """

    def __init__(self, acts: OwnerActs, owed: OwedStops, metrics: RegistryMetrics, clock: Clock) -> None:
        """Over the acts themselves."""
        self.acts = acts
        self.owed = owed
        self.metrics = metrics
        self.clock = clock

    async def remove_camera(self, owner: str, camera_id: str) -> Stop:
        act = partial(self.acts.remove_camera, owner, camera_id)
        return await self._timed(("remove", owner, camera_id), act)

    async def pause(self, owner: str, camera_id: str) -> tuple[OwnCamera, Stop]:
        act = partial(self.acts.pause, owner, camera_id)
        return await self._timed(("pause", owner, camera_id), act)

    async def withdraw(self, owner: str, authorisation_id: str) -> tuple[Authorisation, Stop]:
        act = partial(self.acts.withdraw, owner, authorisation_id)
        return await self._timed(("withdraw", owner, authorisation_id), act)

    async def narrow(
        self, owner: str, authorisation_id: str, changes: Mapping[str, Any], accept_version: AcceptVersion
    ) -> Authorisation:
        act = partial(self.acts.narrow, owner, authorisation_id, changes, accept_version)
        # Another narrowing takes other things away, and makes this one good no more than a withdrawal would.
        return await self.owed.carry_out(("narrow", owner, authorisation_id, repr(changes)), act)

    async def _timed(self, name: tuple[str, ...], act: Callable[[], Awaitable[Done]]) -> Done:
        began_s = self.clock.monotonic_s()
        done = await self.owed.carry_out(name, act)
        self.metrics.stopped(self.clock.monotonic_s() - began_s)
        return done
