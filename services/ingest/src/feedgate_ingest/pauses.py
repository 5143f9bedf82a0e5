"""How long to leave a camera alone after a run ended, growing and jittered."""

from dataclasses import dataclass

from feedgate_ingest.reasons import Pace

GOOD_RUN_S = 10.0
"""A run that lived this long was no failed attempt: pauses begin anew after it."""


@dataclass(frozen=True, slots=True)
class PausePlan:
    """The lengths of pauses. Each is drawn between half of its length and all of it.

    Without jitter all cameras behind one switch would come back at the same moment.
    """

    first_s: float = 0.5
    factor: float = 2.0
    longest_s: float = 30.0
    slow_s: float = 60.0  # wrong passwords: three a minute lock many cameras

    def pause_s(self, pace: Pace, failures: int, draw: float) -> float:
        """How long to wait.

        Args:
            pace: of the reason the run ended for.
            failures: attempts that failed in a row, this one included; at least 1.
            draw: an evenly drawn number in 0..1.
        """
        if pace is Pace.AT_ONCE and failures <= 1:
            return 0.0
        if pace is Pace.SLOW:
            length_s = self.slow_s
        else:
            length_s = min(self.longest_s, self.first_s * self.factor ** min(failures - 1, 32))
        return length_s * (0.5 + 0.5 * draw)


@dataclass(slots=True)
class Attempts:
    """What a stream's past runs mean for its next one; outlives a moment without viewers.

    Otherwise every viewer that comes and goes would try a wrong password again.
    """

    plan: PausePlan
    failures: int = 0
    due_at_s: float = float("-inf")  # monotonic

    def ended(self, pace: Pace, *, lived_s: float, now_s: float, draw: float) -> None:
        """A run ended, or did not come to be, after `lived_s` seconds of pictures."""
        if lived_s >= GOOD_RUN_S:
            self.failures = 0
        self.failures += 1
        self.due_at_s = now_s + self.plan.pause_s(pace, self.failures, draw)

    def forget(self) -> None:
        """The owner changed something: the next attempt is a first one."""
        self.failures = 0
        self.due_at_s = float("-inf")
