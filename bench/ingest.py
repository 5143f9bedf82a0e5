"""What one camera more costs ingest, beside what it costs FFmpeg, which does nothing but read it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from bench.child import Child
from bench.figures import BenchError, Result, Target, rounded
from bench.meter import Reading, rss_mib
from bench.spread import span
from bench.world import CAMERA, camera_in_words
from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.process import Simulator

Bus = Literal["embedded", "kafka"]

SETTLED_S: Final = 3.0
PARTS: Final = 5
ALL_PLAY_WITHIN_S: Final = 60.0

TARGETS: Final = {
    "published_ratio": Target("≥", 0.999),
    "ratio_to_ffmpeg": Target("≤", 1.5),
}


@dataclass(frozen=True, slots=True)
class Used:
    """By one reader of all cameras."""

    cpu_percent_per_camera: float
    parts: list[float]
    """The same in each part of the time."""
    published: float = 0
    sent: int = 0
    rss_mib_per_camera: float = 0.0


async def measure(cameras: int, seconds: int, adapter: str, bus: Bus) -> Result:
    """First our ingest alone, then FFmpeg alone, on the same cameras.

    Raises:
        BenchError: there is no such adapter, no `ffmpeg`, or cameras did not play.
    """
    if adapter != "pyav":
        raise BenchError(f"--adapter {adapter}: there is `pyav` only")
    if bus == "kafka":
        raise BenchError("--bus kafka is not there yet")
    if shutil.which("ffmpeg") is None:
        raise BenchError("no `ffmpeg` to compare with: apt-get install ffmpeg")
    street = replace(CAMERA, cameras=cameras)
    async with Simulator(street) as simulator:
        urls = [simulator.rtsp_url(path) for path in simulator.paths]
        with tempfile.TemporaryDirectory(prefix="feedgate-bench-") as folder:
            ours = await _ingest(simulator, urls, folder, seconds)
        await simulator.until(lambda counts: _playing(counts) == 0)
        theirs = await _ffmpeg(simulator, urls, seconds)
    return Result(
        bench="ingest",
        parameters={"cameras": cameras, "seconds": seconds, "adapter": adapter, "bus": bus},
        figures={
            "cpu_percent_per_camera": rounded(ours.cpu_percent_per_camera),
            "rss_mib_per_camera": rounded(ours.rss_mib_per_camera),
            "published_ratio": round(ours.published / ours.sent, 5),
            "ffmpeg_cpu_percent_per_camera": rounded(theirs.cpu_percent_per_camera),
            "ratio_to_ffmpeg": rounded(ours.cpu_percent_per_camera / theirs.cpu_percent_per_camera),
        },
        measured=(
            "Ingest and bus in one process, digests on, with a follower of each stream; then `ffmpeg "
            "-rtsp_transport tcp -c copy -f null`, one process a camera; each alone, once all cameras play and "
            f"{SETTLED_S:g} s more; cameras out of step, each {camera_in_words(street)}"
        ),
        spread=f"per camera in {PARTS} parts of the time, ours {span(ours.parts)} %, FFmpeg {span(theirs.parts)} %",
        targets=TARGETS,
        conditions={
            "units_sent": ours.sent,
            "units_published": ours.published,
            "spread_pieces": street.spread,
        },
    )


async def _ingest(simulator: Simulator, urls: Sequence[str], folder: str, seconds: int) -> Used:
    settings = {"folder": folder, "urls": list(urls), "kafka_bootstrap": None}
    async with Child("bench.under_test.ingest_alone", settings) as ingest:
        empty_mib = rss_mib(ingest.pid)
        await ingest.ask("demand")
        await _until(lambda: ingest.ask("live"), len(urls))
        await asyncio.sleep(SETTLED_S)
        before = await _counts(simulator, ingest)
        parts, total = await _percents([ingest.pid], seconds)
        after = await _counts(simulator, ingest)
        grown_mib = rss_mib(ingest.pid) - empty_mib
        if await ingest.ask("live") != len(urls):
            raise BenchError("not every camera played to the end")
    return Used(
        cpu_percent_per_camera=total / len(urls),
        parts=[part / len(urls) for part in parts],
        sent=after[0] - before[0],
        published=after[1] - before[1],
        rss_mib_per_camera=grown_mib / len(urls),
    )


async def _counts(simulator: Simulator, ingest: Child) -> tuple[int, float]:
    """Pictures sent and published up to now; asked together."""
    counts, published = await asyncio.gather(simulator.stats(), ingest.ask("published"))
    return sum(path.pictures_sent for path in counts.paths.values()), published


async def _ffmpeg(simulator: Simulator, urls: Sequence[str], seconds: int) -> Used:
    async with _readers(urls) as pids:

        async def playing() -> int:
            return _playing(await simulator.stats())

        await _until(playing, len(urls))
        await asyncio.sleep(SETTLED_S)
        parts, total = await _percents(pids, seconds)
        if await playing() != len(urls):
            raise BenchError("not every ffmpeg played to the end")
    return Used(total / len(urls), [part / len(urls) for part in parts])


@asynccontextmanager
async def _readers(urls: Sequence[str]) -> AsyncIterator[list[int]]:
    options = ["-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp"]
    processes = [
        await asyncio.create_subprocess_exec(
            "ffmpeg",
            *options,
            *("-i", url, "-c", "copy", "-f", "null", "-"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        for url in urls
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in processes))


async def _percents(pids: Sequence[int], seconds: int) -> tuple[list[float], float]:
    """CPU of some processes together: in each part of the time, and over all of it."""
    began_s = time.monotonic()
    readings = [[Reading.of(pid) for pid in pids]]
    for part in range(1, PARTS + 1):
        await asyncio.sleep(began_s + part * seconds / PARTS - time.monotonic())
        readings.append([Reading.of(pid) for pid in pids])

    def percent(earlier: list[Reading], later: list[Reading]) -> float:
        return sum(now.percent_since(then) for then, now in zip(earlier, later, strict=True))

    parts = [percent(earlier, later) for earlier, later in zip(readings, readings[1:], strict=False)]
    return parts, percent(readings[0], readings[-1])


async def _until(ask: Callable[[], Awaitable[int]], enough: int) -> None:
    deadline_s = time.monotonic() + ALL_PLAY_WITHIN_S
    while (seen := await ask()) < enough:
        if time.monotonic() > deadline_s:
            raise BenchError(f"{seen} of {enough} cameras played within {ALL_PLAY_WITHIN_S:g} s")
        await asyncio.sleep(0.2)


def _playing(counts: Counts) -> int:
    return sum(path.active_sessions for path in counts.paths.values())
