"""Ingest in a process of its own, for tests that stop it: one camera, a JSON line for each thing that happens."""

import asyncio
import json
import sys

from feedgate_kit.clock import SystemClock
from feedgate_kit.telemetry import configure_logging
from tests.system.ingest_world import IngestWorld, SharedCamera


async def main(url: str) -> None:
    configure_logging()  # to standard error; facts alone go to standard output
    clock = SystemClock()
    async with IngestWorld() as world:
        camera = await world.share(SharedCamera(url))
        async with world.pictures(camera) as pictures:
            world.demand(camera)
            async for unit in pictures:
                said = [state.reason for state in world.said(camera) if state.reason]
                fact = {
                    "run": unit.run.hex(),
                    "sequence": unit.sequence,
                    "received_at_us": unit.received_at_us,
                    "published_at_us": clock.now_us(),
                    "reasons": said,
                }
                sys.stdout.write(json.dumps(fact) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
