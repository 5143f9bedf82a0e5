"""How a camera's picture times become a run's."""

from feedgate_ingest.access_unit import TICKS_PER_SECOND
from feedgate_ingest.reasons import FeedError, Reason

LONGEST_STEP_TICKS = 10 * TICKS_PER_SECOND
"""Between two pictures. A camera this slow is not live."""
NOMINAL_STEP_TICKS = TICKS_PER_SECOND // 25
TRUSTED_WITHIN_US = 1_000_000
"""How far a camera's wall clock may lie from ours to be called right."""


class Timeline:
    """Ticks since the run began, for one run. Times are shifted as a whole and never otherwise."""

    def __init__(self, longest_step_ticks: int = LONGEST_STEP_TICKS) -> None:
        self.longest_step_ticks = longest_step_ticks
        self._origin: int | None = None
        self._last_dts = -1

    def place(self, dts: int | None, pts: int | None) -> tuple[int, int]:
        """Where a picture stands in the run: `(dts, pts)`.

        Args:
            dts: the camera's time in ticks. None: only the first picture may lack it.
            pts: presentation, in the same ticks; None: as `dts`.

        Raises:
            FeedError: time stood still, went back or jumped; the run is over.
        """
        if dts is None:
            dts = pts
        if dts is None:
            return self._place_first_without_time()
        if self._origin is None:
            self._origin = self._origin_for(dts)
        placed = dts - self._origin
        step = placed - self._last_dts
        if self._last_dts >= 0 and not 0 < step <= self.longest_step_ticks:
            raise FeedError(
                Reason.CAMERA_CLOCK_STEPPED,
                f"Moved {step} ticks from {self._last_dts}; allowed 1..{self.longest_step_ticks}.",
            )
        self._last_dts = placed
        return placed, placed if pts is None else pts - self._origin

    def _place_first_without_time(self) -> tuple[int, int]:
        if self._last_dts >= 0:
            raise FeedError(Reason.CAMERA_CLOCK_STEPPED, "A picture without a time.")
        self._last_dts = 0
        return 0, 0

    def _origin_for(self, dts: int) -> int:
        """Tick 0 of the run, in the camera's ticks, once one picture has a time."""
        if self._last_dts < 0:
            return dts
        # libavformat loses the first picture's RTP time and counts from it (RFC 2326 §12.33),
        # so it is 0; where that cannot be, it was one picture before this one.
        return 0 if 0 < dts <= self.longest_step_ticks else dts - NOMINAL_STEP_TICKS


def is_camera_time_trusted(camera_time_us: int, received_at_us: int) -> bool:
    """Whether the camera's wall clock agrees with ours. Evidence only; no right hangs on it."""
    return camera_time_us > 0 and abs(camera_time_us - received_at_us) <= TRUSTED_WITHIN_US
