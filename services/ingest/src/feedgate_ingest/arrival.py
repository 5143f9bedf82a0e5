"""When a picture's bytes were read, and whether that can be said at all.

`received_at` decides rights, so it may be too early but never later than the truth by
more than the stall that every relay's margin covers. Two things could make it so: bytes
that a library buffered while opening, and a process that did not run while bytes lay in
its socket (stopped, swapped out, starved). No clock around a blocking read can tell the
second from a quiet camera, so a beat of the process's own tells them apart.
"""

from feedgate_ingest.reasons import FeedError, Reason
from feedgate_kit.clock import Clock

BEAT_S = 0.1
STALL_S = 0.5
_AT_ONCE_S = 0.000_5
"""A read faster than this returned what was buffered, and waited for nothing."""


class Pulse:
    """Beats while this process runs. One thread beats; any thread asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = clock.monotonic_s()
        self._gaps: tuple[tuple[float, float], ...] = ()  # (from, until), the newest last

    def beat(self) -> None:
        """To be called every `BEAT_S`; a late call is what this is about."""
        now_s = self._clock.monotonic_s()
        if now_s - self._last_s >= STALL_S:
            self._gaps = (*self._gaps[-7:], (self._last_s, now_s))
        self._last_s = now_s

    def missed_since(self, since_s: float) -> float:
        """Seconds of the longest stop that reached past `since_s`; 0.0 if there was none of `STALL_S`."""
        gaps = self._gaps
        # The reader may be the first to run again, before the beat.
        running_gap_s = self._clock.monotonic_s() - self._last_s
        missed_s = running_gap_s if running_gap_s >= STALL_S else 0.0
        for began_s, ended_s in gaps:
            if ended_s > since_s:
                missed_s = max(missed_s, ended_s - began_s)
        return missed_s


class Arrivals:
    """Honest receive times for one run, from what is known around each read.

    libavformat gives a picture out when the first bytes of the next one have come (its
    parser cannot know before that the picture is whole). So a picture's first bytes were
    read when the picture *before* it was given out, and that is its receive time.
    """

    def __init__(self, clock: Clock, pulse: Pulse, *, silent_s: float) -> None:
        """Begin before anything is asked of the camera: nothing was received earlier.

        Args:
            clock: of this reader.
            pulse: of this process.
            silent_s: after this long a read ends by itself, whatever it then returns.
        """
        self._clock = clock
        self._pulse = pulse
        self._silent_s = silent_s
        self._next_received_at_us = clock.now_us()
        self._last_returned_s: float | None = None
        self._waited_once = False

    def received(self, asked_s: float) -> int:
        """The receive time of the picture that a read has just returned.

        Args:
            asked_s: monotonic, when the read was called.

        Raises:
            FeedError: this reader did not run for `STALL_S`; what its socket held has no
                honest receive time, so the run is over. Or the camera was silent for too
                long: then libavformat gives out what it has of the picture under way.
        """
        now_s = self._clock.monotonic_s()
        missed_s = self._pulse.missed_since(asked_s)
        if self._last_returned_s is not None:
            missed_s = max(missed_s, asked_s - self._last_returned_s)
        if missed_s >= STALL_S:
            raise FeedError(Reason.WORKER_PAUSED, f"It missed {missed_s:.1f} s.")
        if now_s - asked_s >= self._silent_s:
            raise FeedError(Reason.STALLED, f"Nothing came for {self._silent_s:g} s.")
        received_at_us = self._next_received_at_us
        # Until a read has waited for the camera, pictures come out of what opening buffered.
        if self._waited_once or now_s - asked_s >= _AT_ONCE_S:
            self._waited_once = True
            self._next_received_at_us = self._clock.now_us()
        self._last_returned_s = now_s
        return received_at_us
