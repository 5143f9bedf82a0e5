"""A process of viewers that does as its parent says: `bench.child`."""

import asyncio
import time
from typing import Any

import uvloop

from bench.child import obey
from bench.viewers.crowd import Crowd


async def main() -> None:
    crowd = Crowd()

    async def handle(command: str, given: dict[str, Any]) -> Any:
        match command:
            case "start":
                return None
            case "open":
                await crowd.open(**given)
                return None
            case "fewest":
                return crowd.fewest_pictures()
            case "forget":
                crowd.forget_pictures()
                return time.monotonic_ns()
            case "between":
                return crowd.pictures_between(**given)
            case "after-stop":
                return await crowd.after_stop(**given)
            case "pictures":
                return crowd.pictures()
            case "notices":
                return crowd.notices()
            case "leases":
                return crowd.leases()
            case "close":
                crowd.close()
                return None
        raise ValueError(f"command `{command}`")

    await obey(handle)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
