"""How a stream fares, as owners and relays are told."""

from dataclasses import dataclass, replace

from feedgate_ingest.quality import Quality
from feedgate_ingest.reasons import TREATMENTS, FeedError, Phase, Reason
from feedgate_ingest.sps import PictureFormat


@dataclass(frozen=True, slots=True)
class FeedState:
    """Fixed; the next thing told is another one."""

    stream: str
    phase: Phase
    changed_at_us: int
    reason: str = ""  # one of `Reason`, empty where all is well; while connecting, of the run before
    detail: str = ""  # a sentence for the owner
    run: str = ""  # UUIDv7 as text; of the present or last run
    format: PictureFormat | None = None
    quality: Quality | None = None

    def says_the_same_as(self, other: "FeedState | None") -> bool:
        """All but when it was said."""
        return other is not None and replace(other, changed_at_us=self.changed_at_us) == self


def idle(stream: str, reason: Reason, at_us: int) -> FeedState:
    """Nothing is asked of the camera, for this reason."""
    return FeedState(stream, Phase.IDLE, at_us, reason, TREATMENTS[reason].sentence)


def connecting(stream: str, at_us: int, *, after: FeedError | None) -> FeedState:
    """A run is about to begin, and why the one before it ended: some begin at once, with no word in between."""
    reason, detail = (after.reason, after.detail) if after is not None else ("", "")
    return FeedState(stream, Phase.CONNECTING, at_us, reason, detail)


def ended(stream: str, error: FeedError, at_us: int, *, run: str) -> FeedState:
    """A run ended, or did not come to be."""
    phase = TREATMENTS[error.reason].phase
    return FeedState(stream, phase, at_us, error.reason, error.detail, run)
