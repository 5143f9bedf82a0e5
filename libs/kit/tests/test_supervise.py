"""Background work that fails is started again and harms nobody beside it."""

import asyncio
import json
import random
from io import StringIO
from itertools import islice

import pytest

from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.supervise import background, pauses, supervise
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.topics import TopicError


class Attempts:
    """A task that fails as often as it is told to; each attempt lasts as long as told."""

    def __init__(self, clock: SteppedClock, *lasting_s: float) -> None:
        self.clock = clock
        self.lasting_s = list(lasting_s)
        self.waited_s: list[float] = []

    async def __call__(self) -> None:
        if self.lasting_s:
            self.clock.advance(self.lasting_s.pop(0))
            raise OSError("rtsp://user:hunter2@camera/ is gone")

    async def pause(self, seconds: float) -> None:
        self.waited_s.append(seconds)


async def test_pauses_grow_with_each_failure_in_a_row_and_begin_again_after_a_healthy_run() -> None:
    clock = SteppedClock()
    task = Attempts(clock, 0, 0, 0, 31, 0)
    await supervise("task", task, clock, pause=task.pause, new_pauses=lambda: iter([1.0, 2.0, 4.0, 8.0]))
    assert task.waited_s == [1.0, 2.0, 4.0, 1.0, 2.0]


async def test_each_failure_is_a_line_with_its_cause_and_without_its_secret() -> None:
    log = StringIO()
    configure_logging(stream=log)
    clock = SteppedClock()
    task = Attempts(clock, 0)
    await supervise("camera state", task, clock, pause=task.pause)
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["event"], line["task"]) == ("background task failed", "camera state")
    assert "OSError" in line["exception"]
    assert "hunter2" not in log.getvalue()


async def test_an_expected_failure_is_told_in_its_own_words() -> None:
    log = StringIO()
    configure_logging(stream=log)
    clock, failures = SteppedClock(), [TopicError("topic `x` has 2 partitions in Kafka; allowed: 1")]
    pause = Attempts(clock).pause

    async def attempt() -> None:
        if failures:
            raise failures.pop()

    await supervise("connect to the bus", attempt, clock, pause=pause)
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert (line["event"], line["cause"]) == (
        "background task failed",
        "topic `x` has 2 partitions in Kafka; allowed: 1 (docs/guide/services.md)",
    )
    assert "exception" not in line


def test_pauses_double_up_to_the_longest_and_never_agree() -> None:
    drawn = list(islice(pauses(1.0, 8.0, random.Random(7)), 200))
    for pause_s, most_s in zip(drawn, [1.0, 2.0, 4.0, *[8.0] * 197], strict=True):
        assert most_s / 2 <= pause_s <= most_s
    assert len(set(drawn)) == len(drawn)


async def test_one_task_failing_never_ends_another() -> None:
    clock = SteppedClock()
    failed = asyncio.Event()
    ended: list[str] = []

    async def failing() -> None:
        failed.set()
        raise RuntimeError("mine alone")

    async def steady() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("steady")

    async with asyncio.timeout(5), background({"failing": failing, "steady": steady}, clock):
        await failed.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert ended == []
    assert ended == ["steady"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_any_other() -> None:
    attempts = 0

    async def task() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:  # as a library does that cancels what its callers wait for
            raise asyncio.CancelledError

    async def no_pause(_: float) -> None:
        return

    await supervise("task", task, SteppedClock(), pause=no_pause)
    assert attempts == 2


async def test_cancelling_is_no_failure() -> None:
    log = StringIO()
    configure_logging(stream=log)
    clock = SteppedClock()
    task = asyncio.create_task(supervise("task", asyncio.Event().wait, clock))  # type: ignore[arg-type]  # returns True
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.getvalue() == ""
