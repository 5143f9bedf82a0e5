"""Background work that fails alone: each task is started again by itself, its neighbours go on."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 2.0
"""All is dark while a publisher waits, and a handful of tasks that try that often are no load."""
HEALTHY_AFTER_S: Final = 30.0
"""A task that ran this long before it failed starts again as if it had never failed."""

Pause = Callable[[float], Awaitable[None]]

logger = structlog.get_logger(__name__)


def pauses(
    first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S, chance: random.Random | None = None
) -> Iterator[float]:
    """Endless pauses that double up to `longest_s`, each cut by up to half: many must not wake together."""
    dice = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
    pause_s = first_s
    while True:
        yield pause_s * dice.uniform(0.5, 1.0)
        pause_s = min(pause_s * 2, longest_s)


def is_cancelled() -> bool:
    """Whether somebody wants the running task to end. A `CancelledError` without that comes from a library."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def supervise(
    name: str,
    factory: Callable[[], Awaitable[None]],
    clock: Clock,
    *,
    pause: Pause = asyncio.sleep,
    new_pauses: Callable[[], Iterator[float]] = pauses,
) -> None:
    """Run `factory()` until it returns, again after every failure.

    Args:
        name: for the log.
        factory: makes one attempt.
        clock: tells how long an attempt lasted.
        pause: waits between attempts.
        new_pauses: how long to wait, from the first failure in a row on.
    """
    waits = new_pauses()
    while True:
        began_s = clock.monotonic_s()
        try:
            await factory()
        except (Exception, asyncio.CancelledError) as error:
            # Broad on purpose: whatever one task raises, its neighbours go on.
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            if clock.monotonic_s() - began_s >= HEALTHY_AFTER_S:
                waits = new_pauses()
            wait_s = next(waits)
            again_in_s = round(wait_s, 2)
            if isinstance(error, FeedgateError):
                # Expected, and says itself what was seen.
                logger.error(  # noqa: TRY400
                    "background task failed", task=name, cause=str(error), again_in_s=again_in_s
                )
            else:
                logger.exception("background task failed", task=name, again_in_s=again_in_s)
            await pause(wait_s)
        else:
            return


@asynccontextmanager
async def background(tasks: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock) -> AsyncIterator[None]:
    """Supervise every task while the block runs; then cancel them and wait until each has ended."""
    running = [
        asyncio.create_task(supervise(name, factory, clock), name=name) for name, factory in tasks.items()
    ]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
