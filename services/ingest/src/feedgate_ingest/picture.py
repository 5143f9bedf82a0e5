"""What a camera hands over: a track, then its pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Track:
    """The one video track that was set up. H.264, times in ticks of 1/90000 s."""

    parameter_sets: Sequence[bytes]  # SPS and PPS of its description; empty where it holds none


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture as it came, before it has a place in a run."""

    nal_units: tuple[bytes, ...]
    time: int | None  # when it is shown, camera's ticks; None where the reader lost it
    received_at_us: int
    camera_time_us: int  # 0: no RTCP report came yet


class PictureTaker(Protocol):
    """Where a camera's pictures go. Called in the event loop, in this order."""

    def began(self, track: Track) -> None:
        """The camera plays."""
        ...

    def take(self, picture: Picture) -> None:
        """The next picture, in decoding order. A `FeedError` raised here ends the run."""
        ...
