"""This service's copy of the cameras, as their owners' records have them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from feedgate_access_policy.camera import Camera, camera_of, read_state
from feedgate_access_policy.geography import (
    PUBLIC_ERROR_M,
    Neighbourhood,
    Point,
    distance_m,
    public_place,
)
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.state_copy import StateCopy, follow_state
from feedgate_kit.topics import CAMERA_STATE


@dataclass(frozen=True, slots=True)
class NearbyCamera:
    """A camera near an incident, told as finely as the asking agency may know."""

    camera: Camera
    place: Point
    is_exact: bool
    distance_m: int


class Cameras:
    """Read in order from registry's topic, never persisted, and of use only while fresh."""

    def __init__(self, bus: Bus, clock: Clock, skew_us: int) -> None:
        self.bus = bus
        self.clock = clock
        self.skew_us = skew_us
        self.caught_up = asyncio.Event()
        # As read: of 100,000 few are ever asked for, and making cameras of all would be most of a start.
        self._copy: StateCopy[CameraState] = StateCopy(read_state, clock)
        self._neighbourhood = Neighbourhood()

    async def follow(self, on_change: Callable[[Collection[str]], None]) -> None:
        """Read the topic from its first record on, until cancelled.

        Every run begins with an empty copy, which is not fresh and permits nothing.
        """
        self.caught_up.clear()
        self._copy = StateCopy(read_state, self.clock)
        self._neighbourhood = Neighbourhood()

        def changed(keys: Collection[str]) -> None:
            for key in keys:
                self._place(key)
            on_change(keys)

        await follow_state(self.bus.state_log(CAMERA_STATE), self._copy, changed, self.caught_up)

    def _place(self, key: str) -> None:
        state = self._copy.get(key)
        if state is None or state.removed:
            self._neighbourhood.remove(key)
        else:
            self._neighbourhood.put(key, (state.place.longitude, state.place.latitude))

    def is_fresh(self) -> bool:
        """Whether what was read may be relied on now."""
        return self._copy.is_fresh(skew_us=self.skew_us)

    @property
    def as_of_us(self) -> int | None:
        """What the newest heartbeat read says; None before the first."""
        return None if self._copy.freshness is None else self._copy.freshness.as_of_us

    def is_read_past(self, at_us: int) -> bool:
        """Whether what was read holds everything that was committed before a moment of any host's clock."""
        return self.as_of_us is not None and self.as_of_us - self.skew_us >= at_us

    @property
    def offset_us(self) -> int | None:
        """This clock less what that heartbeat says, when it was read."""
        return self._copy.offset_us

    @property
    def unreadable(self) -> int:
        """Records that did not parse, since this copy was begun."""
        return self._copy.unreadable

    def get(self, camera_id: str) -> Camera | None:
        """The camera, or None: never heard of, or its newest record does not parse."""
        state = self._copy.get(camera_id)
        return None if state is None else camera_of(state)

    def near(
        self, place: Point, radius_m: float, agency: str, exactly_known: Collection[str]
    ) -> Sequence[NearbyCamera]:
        """The cameras within the radius that share with the agency now, nearest first.

        Args:
            place: of the incident.
            radius_m: around it.
            agency: who asks.
            exactly_known: cameras under a live grant of that agency. Every other one
                is found, placed and measured by its rounded place.
        """
        now_us = self.clock.now_us()
        found = []
        for key in self._neighbourhood.around(place, radius_m + PUBLIC_ERROR_M):
            camera = self.get(key)
            if camera is None or not camera.terms_for(agency, now_us):
                continue
            exact = (camera.longitude, camera.latitude)
            told = exact if key in exactly_known else public_place(exact)
            metres = distance_m(place, told)
            if metres <= radius_m:
                found.append(NearbyCamera(camera, told, key in exactly_known, round(metres)))
        return sorted(found, key=lambda each: (each.distance_m, each.camera.camera_id))
