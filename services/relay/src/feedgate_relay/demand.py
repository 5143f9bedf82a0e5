"""Telling ingest which streams somebody looks at: repeated while they do, released once."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_relay.ports import AppendOnly

REPEAT_S: Final = 2.0
"""Ingest hangs up 6 s after the last one, so two may be lost."""

logger = structlog.get_logger(__name__)


class Demand:
    """What this relay demands of ingest."""

    def __init__(
        self, log: AppendOnly, clock: Clock, relay_id: str, wanted: Callable[[], Collection[str]]
    ) -> None:
        """Demands nothing yet.

        Args:
            log: the demand topic.
            clock: stamps the records.
            relay_id: tells this relay's demand from another's.
            wanted: the streams somebody may and does look at now.
        """
        self._log = log
        self._clock = clock
        self._relay_id = relay_id
        self._wanted = wanted
        self._told: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    def reconsider(self) -> None:
        """What is wanted may have changed; costs nothing, and may be called often."""
        self._changed.set()

    async def run(self) -> None:
        """Demand and release until cancelled: at every change at once, and else every 2 s."""
        told_s = float("-inf")
        while True:
            self._changed.clear()
            due_s = told_s + REPEAT_S - self._clock.monotonic_s()
            if due_s <= 0 or frozenset(self._wanted()) != self._told:
                told_s, due_s = self._clock.monotonic_s(), REPEAT_S
                await self.tell()
            try:
                async with asyncio.timeout(due_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def tell(self) -> None:
        """One round: every stream that is wanted, and once each that no longer is."""
        wanted = frozenset(self._wanted())
        released, self._told = self._told - wanted, wanted
        records = [self._record(stream, release=True) for stream in sorted(released)]
        records += [self._record(stream, release=False) for stream in sorted(wanted)]
        for outcome in await asyncio.gather(*map(self._log.append, records), return_exceptions=True):
            if isinstance(outcome, FeedgateError):
                # The next round says it again; a release that is lost costs ingest 6 s.
                logger.warning("demand not told", error=str(outcome))
            elif outcome is not None:
                raise outcome

    def _record(self, stream: str, *, release: bool) -> Record:
        demanded = StreamDemanded(stream=stream, relay_id=self._relay_id, release=release)
        demanded.demanded_at.FromMicroseconds(self._clock.now_us())
        camera_id = stream.partition("/")[0]
        headers = headers_for(
            type="feedgate.demand.v1.StreamDemanded", source="relay", subject=stream, clock=self._clock
        )
        return Record(camera_id, demanded.SerializeToString(), headers)
