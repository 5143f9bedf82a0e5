"""From a run to the feed that relays follow."""

from collections.abc import Callable

from feedgate_ingest.access_unit import AccessUnit
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.rejoin import Rejoin
from feedgate_kit.bus.ports import MediaFeed
from feedgate_kit.bus.record import Record


class Outlet:
    """The way of one run's pictures. A feed that is full costs the rest of a group of pictures."""

    def __init__(
        self, feed: MediaFeed, to_record: Callable[[AccessUnit], Record], metrics: IngestMetrics
    ) -> None:
        self.is_shut = False
        self._feed = feed
        self._to_record = to_record
        self._rejoin = Rejoin()
        self._published = metrics.access_units_published
        self._dropped_full = metrics.access_units_dropped.labels("feed_full")
        self._dropped_hung_up = metrics.access_units_dropped.labels("hung_up")

    def publish(self, unit: AccessUnit) -> None:
        """Offer the next picture of the run."""
        if self.is_shut:
            self._dropped_hung_up.inc()
        elif not self._rejoin.admits(is_random_access_point=unit.is_random_access_point):
            self._dropped_full.inc()
        else:
            is_accepted = self._feed.offer(self._to_record(unit))
            self._rejoin.offered(accepted=is_accepted)
            if is_accepted:
                self._published.count += 1
            else:
                self._dropped_full.inc()

    def shut(self) -> None:
        """Nothing of this run is offered any more, whatever is still read."""
        self.is_shut = True
