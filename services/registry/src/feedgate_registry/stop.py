"""The proof an owner gets for a stop."""

from dataclasses import dataclass
from typing import Final

from feedgate_kit.clock import MICROSECONDS

DARK_WITHIN_US: Final = 5 * MICROSECONDS
"""Freshness, 4 s, and the clocks' skew: the bound the protocol is model-checked for (design §4)."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When a stop was put on record, and by when the last picture of it can have been shown."""

    stopped_at_us: int  # the clock, read last before the commit

    @property
    def dark_no_later_than_us(self) -> int:
        return self.stopped_at_us + DARK_WITHIN_US
