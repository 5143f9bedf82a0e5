"""How much of a camera one view was given, for the owner's ledger and for operations."""

from typing import Final

from feedgate_contracts.audit.v1.audit_pb2 import Usage
from feedgate_kit.clock import Clock
from feedgate_relay.audit_trail import ViewAudit
from feedgate_relay.delivery import Delivery
from feedgate_relay.metrics import RelayMetrics

USAGE_EVERY_S: Final = 10.0


class UsageMeter:
    """Reads what a delivery counts."""

    def __init__(self, delivery: Delivery, audit: ViewAudit, *, clock: Clock, metrics: RelayMetrics) -> None:
        self._delivery = delivery
        self._audit = audit
        self._metrics = metrics
        self._reported_s = clock.monotonic_s()
        self._reported_pictures = 0
        self._counted = (0, 0)

    def so_far(self) -> Usage:
        delivery = self._delivery
        usage = Usage(pictures=delivery.pictures, bytes=delivery.bytes)
        if delivery.pictures:
            usage.first_picture_at.FromMicroseconds(delivery.first_picture_at_us)
            usage.last_picture_at.FromMicroseconds(delivery.last_picture_at_us)
        return usage

    def report_when_due(self, now_s: float) -> None:
        """Put usage on record every 10 s, where there was any."""
        if now_s - self._reported_s < USAGE_EVERY_S:
            return
        self._reported_s = now_s
        if self._delivery.pictures != self._reported_pictures:
            self._reported_pictures = self._delivery.pictures
            self._audit.used(self.so_far())

    def count(self) -> None:
        """Add to the metrics what they do not have yet."""
        pictures, size = self._counted
        self._counted = (self._delivery.pictures, self._delivery.bytes)
        self._metrics.pictures_out.inc(self._counted[0] - pictures)
        self._metrics.bytes_out.inc(self._counted[1] - size)
