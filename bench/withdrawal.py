"""From the owner's call until nobody sees anything: every viewer stamps its own end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from bench.child import Child
from bench.figures import BenchError, Result, Target, rounded
from bench.spread import median, percentile, span
from bench.world import (
    CAMERA,
    GRANTS,
    World,
    box_settings,
    camera_in_words,
    development_issuer,
    people_of,
)
from feedgate_tools.simulator.process import Simulator

Bus = Literal["embedded", "kafka"]

STALLED: Final = 5
BEFORE_S: Final = 2.0
LEAST_PART: Final = 0.9
"""Of the camera's pictures in `BEFORE_S`, for every viewer."""
SETTLED_S: Final = 0.75
"""After everybody has pictures and before the two seconds begin, so that opening is no part of them."""
PICTURES_WITHIN_S: Final = 30.0
STOPPED_WITHIN_S: Final = 10.0

TARGETS: Final = {
    "p50_ms": Target("≤", 50),
    "p99_ms": Target("≤", 250),
    "late_pictures": Target("≤", 0),
    "stalled_pictures": Target("≤", 25),
}


@dataclass(slots=True)
class Trials:
    """What all trials together have shown."""

    samples_ms: list[float] = field(default_factory=list)
    medians_ms: list[float] = field(default_factory=list)
    worst_ms: list[float] = field(default_factory=list)
    late_pictures: int = 0
    stalled_pictures: int = 0
    counted: int = 0
    starved: list[int] = field(default_factory=list)
    """Of each trial that did not count: the pictures of the viewer that had the fewest."""

    def add(self, after: dict[str, Any]) -> None:
        samples = after["samples_ms"]
        self.samples_ms += samples
        self.medians_ms.append(median(samples))
        self.worst_ms.append(max(samples))
        self.late_pictures += after["late_pictures"]
        self.stalled_pictures = max(self.stalled_pictures, *after["stalled_pictures"])
        self.counted += 1


@dataclass(frozen=True, slots=True)
class Running:
    """A system with a camera and its people."""

    world: World
    camera_id: str
    relay_origin: str


async def measure(viewers: int, trials: int, bus: Bus) -> Result:
    """One sample per viewer and counted trial.

    Raises:
        BenchError: a viewer was never told, or no trial counted.
    """
    system = _embedded()
    if bus == "kafka":
        raise BenchError("--bus kafka is not there yet")
    found = Trials()
    async with system as running, Child("bench.viewers") as crowd:
        for _ in range(trials):
            await _trial(running, crowd, viewers, found)
    if not found.counted:
        raise BenchError(
            f"no trial counted: in {BEFORE_S:g} s the worst-served viewers had {found.starved} pictures"
        )
    return Result(
        bench="withdrawal",
        parameters={"viewers": viewers, "trials": trials, "bus": bus},
        figures={
            "p50_ms": rounded(percentile(found.samples_ms, 50)),
            "p99_ms": rounded(percentile(found.samples_ms, 99)),
            "max_ms": rounded(max(found.samples_ms)),
            "late_pictures": found.late_pictures,
            "stalled_pictures": found.stalled_pictures,
        },
        measured=(
            "Owner's request sent until each viewer, in another process, has its `stopped` notice or its last "
            f"picture byte, whichever is later; {GRANTS} grants of two operators on one authorisation, a new one "
            f"for each trial; {STALLED} more viewers never read; camera {camera_in_words(CAMERA)}"
        ),
        spread=f"medians of trials {span(found.medians_ms)} ms, their worst {span(found.worst_ms)} ms",
        targets=TARGETS,
        conditions={"counted_trials": found.counted, "starved_trials": found.starved},
    )


async def _trial(running: Running, crowd: Child, viewers: int, found: Trials) -> None:
    world = running.world
    opened = await world.open_grants(running.camera_id)
    tickets = await world.take_tickets(opened, viewers + STALLED)
    relay = urlsplit(running.relay_origin)
    await crowd.ask(
        "open", host=relay.hostname, port=relay.port, tickets=tickets[STALLED:], stalled=tickets[:STALLED]
    )
    try:
        await _until_pictures(crowd)
        await asyncio.sleep(SETTLED_S)
        await crowd.ask("forget")
        await asyncio.sleep(BEFORE_S)
        now_ns = time.monotonic_ns()
        fewest = await crowd.ask("between", from_ns=now_ns - round(BEFORE_S * 1e9), until_ns=now_ns)
        called_ns = await world.withdraw(opened)
        after = await crowd.ask("after-stop", called_ns=called_ns, within_s=STOPPED_WITHIN_S)
    finally:
        await crowd.ask("close")
    if after["untold"]:
        raise BenchError(f"{after['untold']} viewers were not told within {STOPPED_WITHIN_S:g} s")
    if fewest < LEAST_PART * BEFORE_S * CAMERA.fps:
        found.starved.append(fewest)
    else:
        found.add(after)


async def _until_pictures(crowd: Child) -> None:
    deadline_s = time.monotonic() + PICTURES_WITHIN_S
    while await crowd.ask("fewest") == 0:
        if time.monotonic() > deadline_s:
            raise BenchError(f"not every viewer had a picture within {PICTURES_WITHIN_S:g} s")
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _embedded() -> AsyncIterator[Running]:
    """One process with all services."""
    async with (
        Simulator(CAMERA) as camera,
        development_issuer() as issuer,
        Child("bench.under_test.one_box", dict(box_settings(issuer))) as box,
        httpx.AsyncClient(base_url=box.listening["origin"], timeout=30.0) as http,
        people_of(issuer, http, box_settings(issuer)["pool"]) as world,
    ):
        camera_id = await world.owner.register_camera(camera.rtsp_url())
        yield Running(world, camera_id, box.listening["origin"])
