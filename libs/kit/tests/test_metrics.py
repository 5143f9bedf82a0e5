"""What is measured once for a process."""

import asyncio
import time

from prometheus_client import CollectorRegistry

from feedgate_kit.metrics import EVENT_LOOP_LOOK_S, EventLoopDelay


async def test_an_event_loop_that_something_blocks_is_late() -> None:
    registry = CollectorRegistry()

    def observed() -> tuple[float, float]:
        sample = registry.get_sample_value
        return sample("event_loop_delay_seconds_count") or 0, sample("event_loop_delay_seconds_sum") or 0

    measuring = asyncio.create_task(EventLoopDelay(registry).run())
    await asyncio.sleep(0)
    time.sleep(EVENT_LOOP_LOOK_S + 0.3)  # noqa: ASYNC251 - blocks on purpose
    for _ in range(5):  # what is due by then runs within
        await asyncio.sleep(0)
    measuring.cancel()
    assert observed()[1] >= 0.25
