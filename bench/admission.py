"""What it costs to ask whether one picture may go to one viewer now."""

import gc
import time
from typing import Final

from bench.figures import Result, Target, rounded
from bench.spread import median, span
from feedgate_contracts.media.v1.access_unit_pb2 import CODEC_H264, AccessUnit
from feedgate_kit.clock import MICROSECONDS, Clock, SystemClock
from feedgate_kit.ids import new_id, new_run
from feedgate_kit.state_copy import Freshness
from feedgate_relay.admission import Limits, Source, Vouched, admit, vouched
from feedgate_relay.newest import NewestSource
from feedgate_relay.picture import Picture
from feedgate_relay.windows import Window

CALLS: Final = 100_000
ROUNDS: Final = 25
HOUR_US: Final = 3600 * MICROSECONDS

TARGETS: Final = {"ns_per_picture": Target("≤", 300)}


class Gate:
    """What `States` is to a delivery."""

    def __init__(self, vouched: Vouched) -> None:
        self.vouched = vouched


def measure() -> Result:
    """The median round, as a call; what the empty loop takes is taken off."""
    clock = SystemClock()
    limits = Limits()
    now_us = clock.now_us()
    picture, newest = _picture(now_us, limits)
    window = _window(now_us, limits)
    heartbeat = Freshness(as_of_us=now_us, read_at_s=clock.monotonic_s() + HOUR_US / MICROSECONDS)
    # A heartbeat that lasts for the whole bench: every comparison is then made, and holds.
    gate = Gate(vouched(Limits(fresh_us=HOUR_US), heartbeat, heartbeat))
    gc.disable()
    try:
        rounds = [_round(picture, newest, window, gate, clock) for _ in range(ROUNDS)]
    finally:
        gc.enable()
    return Result(
        bench="admission",
        parameters={},
        figures={"ns_per_picture": rounded(median(rounds))},
        measured=(
            "`feedgate_relay.admission.admit` as a delivery calls it: a real picture, window, newest source and "
            f"vouched span, the wall clock and the monotonic clock read for each call; median of {ROUNDS} rounds "
            f"of {CALLS} calls that admit, CPU time, less the empty loop"
        ),
        spread=f"rounds {span(rounds)} ns",
        targets=TARGETS,
    )


def _round(picture: Picture, newest: NewestSource, window: Window, gate: Gate, clock: Clock) -> float:
    calls = range(CALLS)
    now_us, monotonic_s = clock.now_us, clock.monotonic_s
    began_ns = time.thread_time_ns()
    for _ in calls:
        pass
    empty_ns = time.thread_time_ns() - began_ns
    began_ns = time.thread_time_ns()
    for _ in calls:
        admit(picture, newest.source, window, gate.vouched, now_us(), monotonic_s())
    taken_ns = time.thread_time_ns() - began_ns
    assert admit(picture, newest.source, window, gate.vouched, now_us(), monotonic_s())
    return (taken_ns - empty_ns) / CALLS


def _picture(now_us: int, limits: Limits) -> tuple[Picture, NewestSource]:
    unit = AccessUnit(
        stream=f"{new_id()}/original",
        run=new_run(),
        sequence=1,
        ticks_per_second=90_000,
        codec=CODEC_H264,
        nal_units=[b"\x65"],
        received_at_us=now_us,
    )
    newest = NewestSource()
    newest.source = Source((1, 1), unit.run)
    return Picture(unit, newest.source, HOUR_US + limits.max_age_us), newest


def _window(now_us: int, limits: Limits) -> Window:
    opens_at_us = now_us - HOUR_US
    return Window(
        opens_at_us=opens_at_us,
        received_from_us=opens_at_us + limits.margin_us,
        closes_at_us=now_us + HOUR_US,
        mask_version=0,
    )
