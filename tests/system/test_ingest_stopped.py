"""What lay in the socket of a process that did not run has no honest receive time, and is not published."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PICTURES_WHILE_STOPPED = 38  # one and a half seconds of them
PATIENCE_S = 30.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(Settings(size="320x180", kbps=400)) as simulator:
        yield simulator


@pytest.fixture
async def ingest(simulator: Simulator) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.system.ingest_process",
        simulator.rtsp_url(),
        cwd=REPOSITORY,
        stdout=PIPE,
    )
    yield process
    process.kill()
    await process.communicate()


async def fact(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "ingest ended"
    found: dict[str, Any] = json.loads(line)
    return found


async def test_a_stopped_process_begins_a_new_run(simulator: Simulator, ingest: Process) -> None:
    clock = SystemClock()
    async with asyncio.timeout(PATIENCE_S):
        first = await fact(ingest)
        while (await fact(ingest))["sequence"] < 10:
            pass
        ingest.send_signal(signal.SIGSTOP)
        stopped_at_us = clock.now_us()
        sent = (await simulator.stats()).paths["/cam0"].pictures_sent
        await simulator.until(
            lambda counts: counts.paths["/cam0"].pictures_sent >= sent + PICTURES_WHILE_STOPPED,
            timeout_s=PATIENCE_S,
        )
        continued_at_us = clock.now_us()
        ingest.send_signal(signal.SIGCONT)
        old = []
        while (unit := await fact(ingest))["run"] == first["run"]:
            old.append(unit)
    stall_us = MICROSECONDS // 2
    assert continued_at_us - stopped_at_us > stall_us
    # The rest of the old run was read before the stop, and says so.
    assert all(each["received_at_us"] <= stopped_at_us + stall_us for each in old)
    assert unit["sequence"] == 0
    assert "worker_paused" in unit["reasons"]
    assert unit["received_at_us"] >= continued_at_us, "it was received over a connection made since"
