"""What `make bench` runs, with the parameters the targets are stated for."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

import httpx
import uvloop

import bench.admission
import bench.agencies
import bench.fanout
import bench.handover
import bench.ingest
import bench.load
import bench.move
import bench.rows
import bench.screen
import bench.start
import bench.withdrawal
from bench.figures import BenchError, Result, Unmeasured
from bench.servers import ServerFailedError
from bench.withdrawal import DEPLOYED, Shape
from feedgate_kit.errors import FeedgateError
from feedgate_tools.simulator.process import SimulatorError

WITHDRAWAL_TRIALS = 15
SCREEN_TRIALS = 20
SECONDS = 20
STATE_TOPIC_CAMERAS = 100_000
SCALE_TRIALS = 3
LOAD_PAIRS = 5
SHARES = 100
AGENCIES = 200
WITHDRAWAL = f"--viewers 200 --trials {WITHDRAWAL_TRIALS}"
INGEST = f"--cameras 20 --seconds {SECONDS} --adapter pyav"


def run(measuring: Coroutine[Any, Any, Result]) -> Result:
    """Measure in an event loop of its own.

    Raises:
        BenchError: it could not be measured.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measuring)
    except (FeedgateError, SimulatorError, ServerFailedError, httpx.HTTPError, TimeoutError) as error:
        raise BenchError(f"{type(error).__name__}: {error}") from error


async def admission() -> Result:
    return bench.admission.measure()


async def withdrawal(shape: Shape) -> Result:
    return await bench.withdrawal.measure(200, WITHDRAWAL_TRIALS, shape)


def run_all(only: Collection[str] | None = None) -> Iterator[Result | Unmeasured]:
    """One after the other, so that none is measured beside another.

    Args:
        only: how the commands of those to run begin; all if left out.
    """
    programme: dict[str, Callable[[], Coroutine[Any, Any, Result]]] = {
        f"withdrawal {WITHDRAWAL} --bus embedded": lambda: withdrawal(Shape("embedded")),
        f"withdrawal {WITHDRAWAL} --bus kafka": lambda: withdrawal(Shape("kafka")),
        f"withdrawal {WITHDRAWAL} --bus kafka --relays 2 --brokers 3 --gateway": lambda: withdrawal(DEPLOYED),
        f"fanout --viewers 150 --seconds {SECONDS} --fragment-ms 40": lambda: bench.fanout.measure(
            150, SECONDS, bench.fanout.ONE_PICTURE_MS
        ),
        f"ingest {INGEST} --bus embedded": lambda: bench.ingest.measure(20, SECONDS, "pyav", "embedded"),
        f"ingest {INGEST} --bus kafka": lambda: bench.ingest.measure(20, SECONDS, "pyav", "kafka"),
        "admission": admission,
        f"handover --viewers 200 --trials {SCALE_TRIALS}": lambda: bench.handover.measure(200, SCALE_TRIALS),
        f"move --trials {SCALE_TRIALS}": lambda: bench.move.measure(SCALE_TRIALS),
        f"screen --trials {SCREEN_TRIALS}": lambda: bench.screen.measure(SCREEN_TRIALS),
        f"load --pairs {LOAD_PAIRS} --seconds {SECONDS}": lambda: bench.load.measure(LOAD_PAIRS, SECONDS),
        f"rows --shares {SHARES}": lambda: bench.rows.measure(SHARES),
        f"agencies --agencies {AGENCIES} --seconds {SECONDS}": lambda: bench.agencies.measure(
            AGENCIES, SECONDS
        ),
        f"start --cameras {STATE_TOPIC_CAMERAS}": lambda: bench.start.measure(STATE_TOPIC_CAMERAS),
    }
    for name, measure in programme.items():
        if only and not any(name.startswith(each) for each in only):
            continue
        try:
            yield run(measure())
        except BenchError as error:
            yield Unmeasured(name, str(error))
