"""A process of viewers that does as its parent says: `bench.audience`."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop

from bench.child import obey
from bench.viewers.crowd import Crowd


async def main() -> None:
    crowd = Crowd()
    answers: dict[str, Callable[..., Any]] = {
        "fewest": crowd.fewest_pictures,
        "forget": crowd.forget_pictures,
        "between": crowd.pictures_between,
        "seen": crowd.seen,
        "leases": crowd.leases,
        "leave": crowd.leave,
    }

    async def handle(command: str, given: dict[str, Any]) -> Any:
        match command:
            case "start":
                return None
            case "open":
                return await crowd.open(**given)
            case "ending":
                return await crowd.ending(**given)
        return answers[command](**given)

    await obey(handle)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
