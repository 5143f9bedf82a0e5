"""How a camera's picture times become a run's."""

import heapq

from feedgate_ingest.access_unit import TICKS_PER_SECOND
from feedgate_ingest.reasons import FeedError, Reason

LONGEST_STEP_TICKS = 10 * TICKS_PER_SECOND
"""Between two pictures. A camera this slow is not live."""
NOMINAL_STEP_TICKS = TICKS_PER_SECOND // 25
TRUSTED_WITHIN_US = 1_000_000
"""How far a camera's wall clock may lie from ours to be called right."""


class Timeline:
    """Ticks since the run began, for one run. Times are shifted as a whole and never otherwise.

    RTP tells when a picture is shown (RFC 6184 §5.1). When it is decoded follows from how
    many pictures may be shown later than one sent after them: so many places earlier in
    the order of showing. Without B-pictures the two are the same.
    """

    def __init__(self, reordered: int = 0, longest_step_ticks: int = LONGEST_STEP_TICKS) -> None:
        self.reordered = reordered
        self.longest_step_ticks = longest_step_ticks
        self._origin: int | None = None
        self._last_dts = -1
        self._placed = 0
        self._to_decode: list[int] = []  # heap of times of showing not yet used as times of decoding

    def place(self, time: int | None) -> tuple[int, int]:
        """Where a picture stands in the run: `(dts, pts)`.

        Args:
            time: when it is shown, in the camera's ticks. None: only the first may lack it.

        Raises:
            FeedError: time stood still, went back or jumped; the run is over.
        """
        pts = self._shown_at(time)
        dts = self._decoded_at(pts)
        step = dts - self._last_dts
        if self._placed and not 0 < step <= self.longest_step_ticks:
            raise FeedError(
                Reason.CAMERA_CLOCK_STEPPED,
                f"Moved {step} ticks from {self._last_dts}; allowed 1..{self.longest_step_ticks}.",
            )
        self._last_dts = dts
        self._placed += 1
        return dts, pts

    def _shown_at(self, time: int | None) -> int:
        first = self.reordered * NOMINAL_STEP_TICKS  # room before it for the first times of decoding
        if time is None:
            if self._placed:
                raise FeedError(Reason.CAMERA_CLOCK_STEPPED, "A picture without a time.")
            return first
        if self._origin is None:
            self._origin = self._time_of_first(time) - first
        return time - self._origin

    def _time_of_first(self, time: int) -> int:
        """The camera's time of the run's first picture, once one picture has a time."""
        if not self._placed:
            return time
        # libavformat loses the first picture's RTP time and counts from it (RFC 2326 §12.33),
        # so it is 0; where that cannot be, it was one picture before this one.
        return 0 if 0 < time <= self.longest_step_ticks else time - NOMINAL_STEP_TICKS

    def _decoded_at(self, pts: int) -> int:
        if not self.reordered:
            return pts
        heapq.heappush(self._to_decode, pts)
        if self._placed < self.reordered:
            return self._placed * NOMINAL_STEP_TICKS
        return heapq.heappop(self._to_decode)


def is_camera_time_trusted(camera_time_us: int, received_at_us: int) -> bool:
    """Whether the camera's wall clock agrees with ours. Evidence only; no right hangs on it."""
    return camera_time_us > 0 and abs(camera_time_us - received_at_us) <= TRUSTED_WITHIN_US
