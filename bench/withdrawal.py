"""From the owner's call until nobody sees anything: every viewer stamps its own end."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from bench.audience import Audience, Ending, audience
from bench.figures import BenchError, Result, Target, rounded
from bench.spread import median, percentile, span
from bench.systems import Running, embedded, kafka
from bench.world import CAMERA, GRANTS, camera_in_words

Bus = Literal["embedded", "kafka"]

STALLED: Final = 5
BEFORE_S: Final = 2.0
LEAST_PART: Final = 0.9
"""Of the camera's pictures in `BEFORE_S`, for every viewer."""
SETTLED_S: Final = 0.75
"""After everybody has pictures and before the two seconds begin, so that opening is no part of them."""
STOPPED_WITHIN_S: Final = 10.0

TARGETS: Final = {
    "p50_ms": Target("≤", 50),
    "p99_ms": Target("≤", 250),
    "late_pictures": Target("≤", 0),
    "stalled_pictures": Target("≤", 25),
}
DEPLOYED_TARGETS: Final = {
    "p50_ms": Target("≤", 60),
    "p99_ms": Target("≤", 300),
    "late_pictures": Target("≤", 0),
}
"""Through the gateway, where pictures of a viewer who stalls lie in more places: most of them in buffers that only the
deployed gateway's `tcp_rmem` bounds, so their number says more of this machine than of Feedgate."""
_RMEM: Final = Path("/proc/sys/net/ipv4/tcp_rmem")
DEPLOYED_RMEM: Final = ["4096", "65536", "131072"]  # docker-compose.yml, `sysctls` of the gateway


@dataclass(frozen=True, slots=True)
class Shape:
    """What is put up."""

    bus: Bus
    relays: int = 1
    brokers: int = 1
    gateway: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """As they are typed, without what goes without saying."""
        given = ((each, getattr(self, each.name)) for each in fields(self))
        return {each.name: value for each, value in given if value != each.default}

    @property
    def in_words(self) -> str:
        if self.bus == "embedded":
            return "all services in one process"
        way = "through the deployed gateway, TLS" if self.gateway else "without a gateway"
        return f"every service a process, {self.relays} relays, {self.brokers} brokers, {way}"

    def system(self) -> AbstractAsyncContextManager[Running]:
        """One of this shape, with a camera.

        Raises:
            BenchError: there is no such shape, or a server is not installed.
        """
        if self.bus == "kafka":
            return kafka(CAMERA, relays=self.relays, brokers=self.brokers, gateway=self.gateway)
        if self != Shape("embedded"):
            raise BenchError("--bus embedded: one process has no relays, brokers or gateway beside it")
        return embedded(CAMERA)


DEPLOYED: Final = Shape("kafka", relays=2, brokers=3, gateway=True)


@dataclass(slots=True)
class Trials:
    """What all trials together have shown."""

    samples_ms: list[float] = field(default_factory=list)
    medians_ms: list[float] = field(default_factory=list)
    worst_ms: list[float] = field(default_factory=list)
    late_pictures: int = 0
    stalled_pictures: list[int] = field(default_factory=list)
    """Of each stalled viewer of each trial."""
    counted: int = 0
    starved: list[int] = field(default_factory=list)
    """Of each trial that did not count: the pictures of the viewer that had the fewest."""
    views_of_each_relay: list[int] = field(default_factory=list)
    """Of the last trial."""

    def add(self, ending: Ending) -> None:
        self.samples_ms += ending.samples_ms
        self.medians_ms.append(median(ending.samples_ms))
        self.worst_ms.append(max(ending.samples_ms))
        self.late_pictures += ending.late_pictures
        self.stalled_pictures += ending.stalled_pictures
        self.counted += 1


async def measure(viewers: int, trials: int, shape: Shape) -> Result:
    """One sample per viewer and counted trial.

    Raises:
        BenchError: a viewer was never told, or no trial counted.
    """
    found = Trials()
    async with shape.system() as running, audience() as viewing:
        for _ in range(trials):
            await _trial(running, viewing, viewers, found)
    if not found.counted:
        raise BenchError(
            f"no trial counted: in {BEFORE_S:g} s the worst-served viewers had {found.starved} pictures"
        )
    return Result(
        bench="withdrawal",
        parameters={"viewers": viewers, "trials": trials, **shape.parameters},
        figures={
            "p50_ms": rounded(percentile(found.samples_ms, 50)),
            "p99_ms": rounded(percentile(found.samples_ms, 99)),
            "max_ms": rounded(max(found.samples_ms)),
            "late_pictures": found.late_pictures,
            "stalled_pictures": max(found.stalled_pictures),
        },
        measured=(
            "Owner's request sent until each viewer, in another process, has its `stopped` notice or its last "
            f"picture byte, whichever is later; {GRANTS} grants of two operators on one authorisation, a new one "
            f"for each trial; {STALLED} more viewers never read; {shape.in_words}; "
            f"camera {camera_in_words(CAMERA)}"
        ),
        spread=f"medians of trials {span(found.medians_ms)} ms, their worst {span(found.worst_ms)} ms",
        targets=DEPLOYED_TARGETS if shape.gateway else TARGETS,
        conditions={
            "counted_trials": found.counted,
            "starved_trials": found.starved,
            "stalled_pictures_each": span(found.stalled_pictures),
            **({"views_of_each_relay": found.views_of_each_relay} if shape.bus == "kafka" else {}),
            **(
                {"tcp_rmem_here_and_deployed": [_RMEM.read_text().split(), DEPLOYED_RMEM]}
                if shape.gateway
                else {}
            ),
        },
    )


async def _trial(running: Running, viewing: Audience, viewers: int, found: Trials) -> None:
    world = running.world
    opened = await world.open_grants(running.camera_id)
    tickets = await world.take_tickets(opened, viewers + STALLED)
    await viewing.open(running.origins, tickets[STALLED:], tickets[:STALLED], running.ca_file)
    try:
        await viewing.until_pictures()
        found.views_of_each_relay = await running.views_of_each_relay()
        await asyncio.sleep(SETTLED_S)
        await viewing.forget_pictures()
        await asyncio.sleep(BEFORE_S)
        fewest = await viewing.fewest_since(BEFORE_S)
        called_ns = await world.withdraw(opened)
        ending = await viewing.ending(called_ns, STOPPED_WITHIN_S)
    finally:
        await viewing.leave()
    if ending.untold:
        raise BenchError(f"{ending.untold} viewers were not told within {STOPPED_WITHIN_S:g} s")
    if fewest < LEAST_PART * BEFORE_S * CAMERA.fps:
        found.starved.append(fewest)
    else:
        found.add(ending)
