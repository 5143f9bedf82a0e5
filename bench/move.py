"""For how long a camera gives no pictures when another ingest worker takes it over."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.figures import BenchError, Result, Target, rounded
from bench.servers import TWO_OF_EVERYTHING, Feed, Seen, cameras_apart, demanded, deployment
from bench.spread import median, span
from feedgate_kit.clock import MICROSECONDS
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings

CAMERAS: Final = 9
"""In partitions of their own: of 12, a third worker takes 4, so of these at least one."""
WORKER: Final = "ingest-3"
SESSION_S: Final = 6.0
KILLED_WITHIN_S: Final = 12.0
MOVED_WITHIN_S: Final = 6.0
CAMERA: Final = Settings(clip=True, size="640x360", kbps=500)
TARGETS: Final = {
    "planned_beyond_reconnect_ms": Target("≤", 1_000 * CAMERA.gop_s),
    "killed_beyond_reconnect_ms": Target("≤", 1_000 * (CAMERA.gop_s + SESSION_S + 1)),
}


async def measure(trials: int) -> Result:
    """One sample per camera that moved.

    Raises:
        BenchError: a server is not installed, or nothing moved.
    """
    planned_s: list[float] = []
    killed_s: list[float] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        camera = await stack.enter_async_context(Simulator(CAMERA))
        deployed = await stack.enter_async_context(deployment(folder, brokers=3, processes=TWO_OF_EVERYTHING))
        people = await stack.enter_async_context(deployed.people())
        camera_ids = await cameras_apart(people, camera.rtsp_url(), CAMERAS)
        began_us = time.time_ns() // 1_000
        feeds = await stack.enter_async_context(demanded(deployed.kafka_bootstrap, camera_ids))
        for feed in feeds:
            await feed.until_playing()
        reconnect_s = median([(feed.pictures[0].received_at_us - began_us) / MICROSECONDS for feed in feeds])
        for _ in range(trials):
            last = [feed.pictures[-1] for feed in feeds]
            deployed.processes[WORKER].kill()
            killed_s += await _gaps_s(feeds, last, KILLED_WITHIN_S)
            last = [feed.pictures[-1] for feed in feeds]
            deployed.start(WORKER)
            await deployed.until_ready(WORKER)
            planned_s += await _gaps_s(feeds, last, MOVED_WITHIN_S)
    if not planned_s or not killed_s:
        raise BenchError(f"{len(planned_s)} cameras moved as planned, {len(killed_s)} after a worker's death")
    return Result(
        bench="move",
        parameters={"trials": trials},
        figures={
            "reconnect_ms": rounded(1_000 * reconnect_s),
            "planned_max_ms": rounded(1_000 * max(planned_s)),
            "planned_beyond_reconnect_ms": rounded(1_000 * (max(planned_s) - reconnect_s)),
            "killed_max_ms": rounded(1_000 * max(killed_s)),
            "killed_beyond_reconnect_ms": rounded(1_000 * (max(killed_s) - reconnect_s)),
        },
        measured=(
            "Longest time between two pictures of a camera, by when ingest read them, while it moved from one of two "
            "workers to a third that joined (planned), or from one of three that was killed to the others; reconnect "
            f"is from first demand to first picture; {CAMERAS} cameras, three brokers, two of every other service"
        ),
        spread=f"planned {span(planned_s)} s, killed {span(killed_s)} s",
        targets=TARGETS,
        conditions={"moved_as_planned": len(planned_s), "moved_after_a_death": len(killed_s)},
    )


async def _gaps_s(feeds: list[Feed], last: list[Seen], within_s: float) -> list[float]:
    """Of those that within that time have begun another run than their last picture's."""
    await asyncio.sleep(within_s)
    return [
        feed.longest_gap_s(picture.received_at_us)
        for feed, picture in zip(feeds, last, strict=True)
        if feed.pictures[-1].run != picture.run
    ]
