"""From the threads that read cameras to the feed that relays follow."""

import asyncio
from collections import deque
from collections.abc import Callable

from feedgate_ingest.access_unit import AccessUnit
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.rejoin import Rejoin
from feedgate_kit.bus.ports import MediaFeed
from feedgate_kit.bus.record import Record

LANE_UNITS = 250
"""Pictures of one camera that may wait for the event loop: ten seconds at 25 a second."""


class Outlet:
    """Offers pictures to the feed in the event loop, however many threads bring them.

    The loop is woken once for all that lies there, not once per picture.
    """

    def __init__(
        self, feed: MediaFeed, to_record: Callable[[AccessUnit], Record], metrics: IngestMetrics
    ) -> None:
        self._feed = feed
        self._to_record = to_record
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[tuple[Lane, Record, bool]] = deque()
        self._is_woken = False
        self._published = metrics.access_units_published
        self.dropped_full = metrics.access_units_dropped.labels("feed_full")
        self.dropped_behind = metrics.access_units_dropped.labels("worker_behind")
        self.dropped_hung_up = metrics.access_units_dropped.labels("hung_up")

    def open_lane(self) -> "Lane":
        """A way for the pictures of one run. Called in the loop that will offer them."""
        self._loop = asyncio.get_running_loop()
        return Lane(self)

    def put(self, lane: "Lane", unit: AccessUnit) -> None:
        """Called by any thread."""
        self._waiting.append((lane, self._to_record(unit), unit.is_random_access_point))
        # Read and set by several threads without a lock: at worst the loop is woken twice.
        # Never not at all, because it takes the mark off before it looks.
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._offer_waiting)

    def _offer_waiting(self) -> None:
        self._is_woken = False
        waiting, offer = self._waiting, self._feed.offer
        published = 0
        # What comes meanwhile wakes the loop again: others have their turn in between.
        for _ in range(len(waiting)):
            lane, record, is_random_access_point = waiting.popleft()
            lane.units_offered += 1
            if lane.is_shut:
                self.dropped_hung_up.inc()
            elif not lane.rejoin.admits(is_random_access_point=is_random_access_point):
                self.dropped_full.inc()
            else:
                accepted = offer(record)
                lane.rejoin.offered(accepted=accepted)
                if accepted:
                    published += 1
                else:
                    self.dropped_full.inc()
        if published:
            self._published.inc(published)


class Lane:
    """One run's way through the outlet."""

    def __init__(self, outlet: Outlet) -> None:
        self.rejoin = Rejoin()
        self.is_shut = False
        self.units_offered = 0  # written by the loop alone
        self._outlet = outlet
        self._units_put = 0  # written by the reading thread alone
        self._rejoin_behind = Rejoin()

    def publish(self, unit: AccessUnit) -> None:
        """Called by the thread that reads the camera."""
        outlet = self._outlet
        if self.is_shut:
            outlet.dropped_hung_up.inc()
            return
        if self._rejoin_behind.admits(is_random_access_point=unit.is_random_access_point):
            has_room = self._units_put - self.units_offered < LANE_UNITS
            self._rejoin_behind.offered(accepted=has_room)
            if has_room:
                self._units_put += 1
                outlet.put(self, unit)
                return
        outlet.dropped_behind.inc()

    def shut(self) -> None:
        """Nothing of this run is offered any more, whatever its thread still reads. Called in the loop."""
        self.is_shut = True
