"""The owner's stops: carried out, or owed until the database takes them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from feedgate_kit.clock import Clock
from feedgate_kit.owed_stops import OwedStops
from feedgate_registry.acts import OwnerActs
from feedgate_registry.authorisation import Authorisation
from feedgate_registry.metrics import RegistryMetrics
from feedgate_registry.record import OwnCamera
from feedgate_registry.stop import Stop

Done = TypeVar("Done")


class OwnerStops:
    """Of what `OwnerActs` does, that which stops. Each raises `StopOwedError`, too, where it could not be written."""

    def __init__(self, acts: OwnerActs, owed: OwedStops, metrics: RegistryMetrics, clock: Clock) -> None:
        """Over the acts themselves."""
        self.acts = acts
        self.owed = owed
        self.metrics = metrics
        self.clock = clock

    async def remove_camera(self, owner: str, camera_id: str) -> Stop:
        act = partial(self.acts.remove_camera, owner, camera_id)
        return await self._carry_out(owner, f"remove {camera_id}", act)

    async def pause(self, owner: str, camera_id: str) -> tuple[OwnCamera, Stop]:
        act = partial(self.acts.pause, owner, camera_id)
        return await self._carry_out(owner, f"pause {camera_id}", act)

    async def withdraw(self, owner: str, authorisation_id: str) -> tuple[Authorisation, Stop]:
        act = partial(self.acts.withdraw, owner, authorisation_id)
        return await self._carry_out(owner, f"withdraw {authorisation_id}", act)

    async def _carry_out(self, owner: str, name: str, act: Callable[[], Awaitable[Done]]) -> Done:
        began_s = self.clock.monotonic_s()
        done = await self.owed.carry_out(owner, name, act)
        self.metrics.stopped(self.clock.monotonic_s() - began_s)
        return done
