"""Takes back what still lies on the bus of a stream whose owner stopped it."""

import asyncio

import structlog

from feedgate_ingest.metrics import IngestMetrics
from feedgate_kit.bus.ports import MediaFeed
from feedgate_kit.clock import Clock
from feedgate_kit.supervise import Pause, pauses

SHOWN_S = 3.0
"""No relay shows a picture that is older (design 4, admission)."""

KEPT_S = 90.0
"""Past this the bus has forgotten by itself: 60 s, a segment of 10 s, a check every 10 s (topic file)."""

logger = structlog.get_logger(__name__)


class Erasures:
    """Erases streams one beside the other, each until it is done or no longer needed."""

    def __init__(
        self,
        feed: MediaFeed,
        clock: Clock,
        metrics: IngestMetrics,
        *,
        skew_s: float,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """Erase nothing yet.

        Args:
            feed: what the pictures were offered to.
            clock: tells when trying is no longer needed.
            metrics: count what became of each.
            skew_s: how far relays' clocks may lie from this one.
            pause: waits between two tries.
        """
        self._feed = feed
        self._clock = clock
        self._results = metrics.erasures
        self._spare_s = SHOWN_S + skew_s
        self._pause = pause
        self._asked: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, stream: str) -> None:
        """Nothing of this stream is published any more; erase what was."""
        self._asked.put_nowait(stream)

    async def run(self) -> None:
        """Erase what is asked for, until cancelled."""
        async with asyncio.TaskGroup() as erasing:
            while True:
                stream = await self._asked.get()
                erasing.create_task(self._erase(stream), name=f"erasing {stream}")

    async def _erase(self, stream: str) -> None:
        begun_s = self._clock.monotonic_s()
        for wait_s in pauses():
            try:
                await self._feed.erase(stream, spare_s=self._spare_s)
            except Exception as error:  # noqa: BLE001 - one stream's failure is no other owner's
                if self._clock.monotonic_s() - begun_s + wait_s > KEPT_S:
                    self._results.labels("given_up").inc()
                    logger.warning("stream not erased; it expires by itself", stream=stream, cause=str(error))
                    return
                await self._pause(wait_s)
            else:
                self._results.labels("done").inc()
                logger.info("stream erased", stream=stream)
                return
