"""Who may look at which stream right now: relays with open, ticketed views."""

from dataclasses import dataclass

from feedgate_kit.clock import MICROSECONDS

DEMAND_LASTS_S = 6.0
"""Relays repeat themselves every 2 s; three silences in a row end a demand."""


@dataclass(slots=True)
class _Demand:
    demanded_at_us: int  # the relay's clock
    until_s: float  # this worker's monotonic clock; in the past once released


class DemandTable:
    """The newest word of every relay about every stream.

    A demand counts from its own time, so what a group reads late, or again, connects no
    camera for a view that is over. It holds by the monotonic clock.
    """

    def __init__(self, lasts_s: float = DEMAND_LASTS_S) -> None:
        self.lasts_s = lasts_s
        self._demands: dict[str, dict[str, _Demand]] = {}

    def take(
        self, stream: str, relay_id: str, *, release: bool, demanded_at_us: int, now_us: int, now_s: float
    ) -> None:
        """One `StreamDemanded`. Older than what that relay said last: ignored."""
        relays = self._demands.setdefault(stream, {})
        known = relays.get(relay_id)
        if known is not None and demanded_at_us < known.demanded_at_us:
            return
        # Its age by two hosts' clocks; a relay whose clock is ahead gains nothing by it.
        age_s = max(0.0, (now_us - demanded_at_us) / MICROSECONDS)
        until_s = now_s if release else now_s + self.lasts_s - age_s
        relays[relay_id] = _Demand(demanded_at_us, until_s)

    def streams(self, now_s: float) -> frozenset[str]:
        """Streams that some relay demands."""
        return frozenset(
            stream
            for stream, relays in self._demands.items()
            if any(now_s < demand.until_s for demand in relays.values())
        )

    def forget_old(self, now_s: float) -> None:
        """Let go of what ended so long ago that no repetition of it can arrive as news."""
        for stream, relays in list(self._demands.items()):
            for relay_id, demand in list(relays.items()):
                if demand.until_s + self.lasts_s < now_s:
                    del relays[relay_id]
            if not relays:
                del self._demands[stream]
