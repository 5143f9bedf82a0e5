"""A receive time is never later than the truth by more than the stall, or there is none."""

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.arrival import BEAT_S, STALL_S, Arrivals, Pulse
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.stepped_clock import SteppedClock

SILENT_S = 2.0


@dataclass
class Reader:
    """A reader and its process on a clock that the test moves."""

    clock: SteppedClock = field(default_factory=SteppedClock)

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.clock)
        self.arrivals = Arrivals(self.clock, self.pulse, silent_s=SILENT_S)
        self.began_us = self.clock.now_us()

    def runs(self, seconds: float) -> None:
        """Time passes and the process runs, so the pulse beats."""
        beats = round(seconds / BEAT_S)
        for _ in range(beats):
            self.clock.advance(BEAT_S)
            self.pulse.beat()
        self.clock.advance(seconds - beats * BEAT_S)

    def stops(self, seconds: float) -> None:
        """Time passes and nothing of the process runs."""
        self.clock.advance(seconds)

    def reads(self, waits_s: float, stops_s: float = 0.0, *, beat_first: bool = True) -> float:
        """One read, in seconds from the start to the receive time it gives."""
        asked_s = self.clock.monotonic_s()
        self.runs(waits_s)
        self.stops(stops_s)
        if beat_first:
            self.pulse.beat()
        return (self.arrivals.received(asked_s) - self.began_us) / MICROSECONDS


def test_a_picture_was_received_when_the_one_before_it_was_given_out() -> None:
    reader = Reader()
    reader.runs(0.2)  # opening
    assert [round(reader.reads(0.04), 2) for _ in range(4)] == [0.0, 0.24, 0.28, 0.32]


def test_what_was_buffered_while_opening_was_received_before_it() -> None:
    reader = Reader()
    reader.runs(3.0)
    assert [reader.reads(0.0), reader.reads(0.0), reader.reads(0.04)] == [0.0, 0.0, 0.0]
    assert reader.reads(0.04) == pytest.approx(3.04)


def test_a_quiet_camera_is_no_stall() -> None:
    reader = Reader()
    reader.reads(0.04)
    reader.reads(1.9)
    assert reader.reads(0.04) == pytest.approx(1.94)


def test_a_camera_silent_for_too_long_has_stalled() -> None:
    reader = Reader()
    reader.reads(0.04)
    with pytest.raises(FeedError) as caught:
        reader.reads(SILENT_S)
    assert caught.value.reason is Reason.STALLED


@pytest.mark.parametrize("beat_first", [True, False], ids=["the pulse wakes first", "the reader wakes first"])
def test_a_process_that_did_not_run_ends_the_run(beat_first: bool) -> None:
    reader = Reader()
    reader.reads(0.04)
    with pytest.raises(FeedError, match=r"It missed 0\.5 s") as caught:
        reader.reads(0.04, STALL_S, beat_first=beat_first)
    assert caught.value.reason is Reason.WORKER_PAUSED


def test_a_stop_in_the_first_read_ends_the_run() -> None:
    reader = Reader()
    with pytest.raises(FeedError):
        reader.reads(0.0, 2.0)


def test_a_stop_while_opening_does_no_harm_since_nothing_was_stamped() -> None:
    reader = Reader()
    reader.stops(4.0)
    reader.pulse.beat()
    assert reader.reads(0.0) == 0.0


def test_a_reader_that_was_busy_elsewhere_ends_its_run() -> None:
    reader = Reader()
    reader.reads(0.04)
    reader.runs(STALL_S)
    with pytest.raises(FeedError):
        reader.reads(0.0)


def test_a_stop_is_forgotten_by_the_runs_after_it() -> None:
    reader = Reader()
    reader.stops(2.0)
    reader.pulse.beat()
    reader.arrivals = Arrivals(reader.clock, reader.pulse, silent_s=SILENT_S)
    reader.runs(0.1)
    reader.reads(0.04)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arrives", "runs", "stops", "arrives while stopped"]),
            st.floats(0.001, 1.5),
        ),
        max_size=30,
    )
)
def test_no_receive_time_is_late_by_the_stall_or_more(steps: list[tuple[str, float]]) -> None:
    """Pictures lie in a socket while a process runs and stops; what it stamps is honest."""
    socket = Socket(Reader())
    socket.reader.runs(0.1)  # opening
    with suppress(FeedError):  # the run is over, which is honest too
        for step, seconds in steps:
            match step:
                case "stops":
                    socket.reader.stops(seconds)
                case "arrives while stopped":
                    socket.receive()
                    socket.reader.stops(seconds)
                case "arrives":
                    socket.receive()
                    socket.drain()
                case _:
                    socket.drain()
                    socket.reader.runs(seconds)


@dataclass
class Socket:
    """Pictures that came, and a reader that reads whenever it runs."""

    reader: Reader

    def __post_init__(self) -> None:
        self.arrived_us: list[int] = []  # first bytes of each
        self.given = 0
        self.asked_s = self.reader.clock.monotonic_s()

    def receive(self) -> None:
        self.arrived_us.append(self.reader.clock.now_us())

    def drain(self) -> None:
        """Read on until only the picture under way is left; each must be stamped honestly."""
        while self.given < len(self.arrived_us) - 1:
            stamped_us = self.reader.arrivals.received(self.asked_s)
            assert stamped_us - self.arrived_us[self.given] < STALL_S * MICROSECONDS
            self.given += 1
            self.asked_s = self.reader.clock.monotonic_s()
