"""What the measured processes do beside serving."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

READY_WITHIN_S: Final = 30.0


@asynccontextmanager
async def carried(works: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these while the block runs; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


async def until_ready(waiting_for: Callable[[], list[str]]) -> None:
    """Until nothing is waited for.

    Raises:
        TimeoutError: it took too long; says for what.
    """
    for _ in range(round(READY_WITHIN_S / 0.05)):
        if not waiting_for():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"still waiting for {waiting_for()}")
