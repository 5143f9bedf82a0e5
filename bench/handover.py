"""From the end of the process that publishes until another one does, with views open on both relays."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.audience import Audience, audience
from bench.figures import Result, Target, rounded
from bench.servers import TWO_OF_EVERYTHING, Deployment, deployment
from bench.spread import percentile, span
from bench.world import CAMERA, camera_in_words, people_of
from feedgate_tools.simulator.process import Simulator

SERVICES: Final = ("registry", "access-policy")
DARK_AFTER_S: Final = 5.0
"""After each fault: what was not vouched for in time would be dark by then."""
TARGETS: Final = {
    "death_max_ms": Target("≤", 1_000),
    "stop_max_ms": Target("≤", 3_000),
    "views_gone_dark": Target("≤", 0),
}


async def measure(viewers: int, trials: int) -> Result:
    """One sample per trial, service and fault.

    Raises:
        BenchError: a server is not installed, or a viewer had no picture to begin with.
    """
    taken_ms: dict[str, list[float]] = {"death": [], "stop": []}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        camera = await stack.enter_async_context(Simulator(CAMERA))
        deployed = await stack.enter_async_context(deployment(folder, brokers=3, processes=TWO_OF_EVERYTHING))
        people = await stack.enter_async_context(deployed.people())
        world = people_of(deployed.issuer, people.http, people.agency, people.pool)
        opened = await world.open_grants(await world.owner.register_camera(camera.rtsp_url()))
        relays = deployed.names("relay")
        for relay in relays:
            viewing: Audience = await stack.enter_async_context(audience())
            tickets = await world.take_tickets(opened, viewers // len(relays))
            await viewing.open([deployed.origin(relay)], tickets)
            stack.push_async_callback(viewing.leave)
            await viewing.until_pictures()
        dark_before = await _gone_dark(deployed)
        for _ in range(trials):
            for service in SERVICES:
                for fault, taken in taken_ms.items():
                    taken.append(await _trial(deployed, service, fault))
        gone_dark = await _gone_dark(deployed) - dark_before
    return Result(
        bench="handover",
        parameters={"viewers": viewers, "trials": trials},
        figures={
            **{
                f"{fault}_{name}_ms": rounded(percentile(taken, percent))
                for fault, taken in taken_ms.items()
                for name, percent in (("p50", 50), ("max", 100))
            },
            "views_gone_dark": gone_dark,
        },
        measured=(
            "SIGKILL (death) or SIGSTOP (stop) of the process of registry, and of access-policy, that publishes, until "
            "the other one says that it does, asked every 50 ms; two of every service, three ingest workers, three "
            f"brokers, views on both relays; camera {camera_in_words(CAMERA)}"
        ),
        spread=f"death {span(taken_ms['death'])} ms, stop {span(taken_ms['stop'])} ms",
        targets=TARGETS,
    )


async def _trial(deployed: Deployment, service: str, fault: str) -> float:
    """Milliseconds until the other process publishes."""
    old = await deployed.publishing(service)
    (new,) = set(deployed.names(service)) - {old}
    process = deployed.processes[old]
    began_s = time.monotonic()
    (process.kill if fault == "death" else process.freeze)()
    await deployed.until_active(new)
    taken_ms = (time.monotonic() - began_s) * 1_000
    await asyncio.sleep(DARK_AFTER_S)
    await deployed.restart(old)
    return taken_ms


async def _gone_dark(deployed: Deployment) -> float:
    """How often a view of any relay was covered since they were started, for want of a heartbeat."""
    pages = [await deployed.metrics(relay) for relay in deployed.names("relay")]
    lines = [line for page in pages for line in page.splitlines()]
    told = [line for line in lines if line.startswith("relay_notices_total{") and '"not_fresh"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in told)
