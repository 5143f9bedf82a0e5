"""Which ingest worker and run of a stream is the newest: of two that send, one is listened to."""

from typing import Final

from feedgate_relay.admission import Source

FORGOTTEN_AFTER_S: Final = 10.0
"""After this long without a unit of the newest source, any source is new (design §3)."""


class NewestSource:
    """The newest (epoch, run) seen of one stream.

    Epochs are compared as (version of the camera record that named the pool,
    group generation): a higher one replaces, a lower one is dropped. Within one
    epoch the camera has one worker, so its runs are UUIDv7 of one clock and
    compare by their bytes: a later run replaces an earlier one, whose pictures
    may still be on their way. Should that worker's clock be set back, its next
    run looks older and is heard once the last one has been silent for 10 s.
    """

    def __init__(self) -> None:
        self.source: Source | None = None
        self._heard_at_s = 0.0

    def observe(self, epoch: tuple[int, int], run: bytes, monotonic_s: float) -> Source | None:
        """The source of a unit that has just come, or None if a newer one has been heard."""
        newest = self.source
        if newest is None or monotonic_s - self._heard_at_s >= FORGOTTEN_AFTER_S:
            self.source = newest = Source(epoch, run)
        elif (epoch, run) != (newest.epoch, newest.run):
            if (epoch, run) < (newest.epoch, newest.run):
                return None
            self.source = newest = Source(epoch, run)
        self._heard_at_s = monotonic_s
        return newest
