"""What one camera more costs ingest, beside what it costs FFmpeg, which does nothing but read it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from bench.child import Child
from bench.figures import BenchError, Result, Target, rounded
from bench.meter import PARTS, Used, rss_mib, used_by
from bench.servers import kafka_broker
from bench.spread import median, span
from bench.world import AGENCY, CAMERA, camera_in_words
from feedgate_kit.topics import apply_topics, load_topics
from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.process import Simulator

Bus = Literal["embedded", "kafka"]

TURNS: Final = 3
SETTLED_S: Final = 3.0
LOOKS: Final = 20
BETWEEN_LOOKS_S: Final = 0.027
"""No part or multiple of the time between pictures."""
ALL_PLAY_WITHIN_S: Final = 60.0

WHERE: Final[dict[str, str]] = {
    "embedded": "and bus in one process, with a follower of each stream",
    "kafka": "in one process, its producer's part included, the broker's not",
}
TARGETS: Final = {
    "published_ratio": Target("≥", 0.999),
    "ratio_to_ffmpeg": Target("≤", 1.5),
}


@dataclass(frozen=True, slots=True)
class Ingested:
    """What our ingest used and did."""

    used: Used  # per camera
    sent: float
    published: float
    rss_mib_per_camera: float


async def measure(cameras: int, seconds: int, adapter: str, bus: Bus) -> Result:
    """In turns our ingest alone and FFmpeg alone, on the same cameras: what a host does beside differs by the minute.

    Raises:
        BenchError: there is no such adapter, no `ffmpeg`, or cameras did not play.
    """
    if adapter != "pyav":
        raise BenchError(f"--adapter {adapter}: there is `pyav` only")
    if shutil.which("ffmpeg") is None:
        raise BenchError("no `ffmpeg` to compare with: apt-get install ffmpeg")
    street = replace(CAMERA, cameras=cameras)
    async with Simulator(street) as simulator:
        urls = [simulator.rtsp_url(path) for path in simulator.paths]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
            bootstrap = None
            if bus == "kafka":
                bootstrap = stack.enter_context(kafka_broker(folder / "kafka")).bootstrap
                await apply_topics(bootstrap, load_topics(), [AGENCY])
            settings = {"folder": str(folder), "urls": urls, "kafka_bootstrap": bootstrap}
            turns = [await _turn(simulator, settings, seconds) for _ in range(TURNS)]
    ratios = [ours.used.percent / theirs.percent for ours, theirs in turns]
    sent, published = sum(ours.sent for ours, _ in turns), sum(ours.published for ours, _ in turns)
    return Result(
        bench="ingest",
        parameters={"cameras": cameras, "seconds": seconds, "adapter": adapter, "bus": bus},
        figures={
            "cpu_percent_per_camera": rounded(median([ours.used.percent for ours, _ in turns])),
            "rss_mib_per_camera": rounded(median([ours.rss_mib_per_camera for ours, _ in turns])),
            "published_ratio": round(published / sent, 4),
            "ffmpeg_cpu_percent_per_camera": rounded(median([theirs.percent for _, theirs in turns])),
            "ratio_to_ffmpeg": rounded(median(ratios)),
        },
        measured=(
            f"Ingest {WHERE[bus]}, digests on; then `ffmpeg "
            "-rtsp_transport tcp -c copy -f null`, one process a camera; each alone, once all play and "
            f"{SETTLED_S:g} s more, {TURNS} turns, medians; cameras out of step, each {camera_in_words(street)}"
        ),
        spread=(
            f"of turns: ratio {span(ratios)}; CPU per camera in {PARTS} parts of each: "
            f"ours {span([part for ours, _ in turns for part in ours.used.parts])} %, "
            f"FFmpeg {span([part for _, theirs in turns for part in theirs.parts])} %"
        ),
        targets=TARGETS if bus == "embedded" else {},  # the targets are stated for it
        conditions={
            "units_sent": round(sent),
            "units_published": round(published),
            "spread_pieces": street.spread,
        },
    )


async def _turn(simulator: Simulator, settings: dict[str, Any], seconds: int) -> tuple[Ingested, Used]:
    """Ours, then FFmpeg."""
    ours = await _ingest(simulator, settings, seconds)
    await simulator.until(lambda counts: _playing(counts) == 0)
    theirs = await _ffmpeg(simulator, settings["urls"], seconds)
    await simulator.until(lambda counts: _playing(counts) == 0)
    return ours, theirs


async def _ingest(simulator: Simulator, settings: dict[str, Any], seconds: int) -> Ingested:
    urls = settings["urls"]
    async with Child("bench.under_test.ingest_alone", settings) as ingest:
        empty_mib = rss_mib(ingest.pid)
        await ingest.ask("demand")
        await _until(lambda: ingest.ask("live"), len(urls))
        await asyncio.sleep(SETTLED_S)
        before = await _counts(simulator, ingest)
        used = await used_by([ingest.pid], seconds)
        after = await _counts(simulator, ingest)
        grown_mib = rss_mib(ingest.pid) - empty_mib
        if await ingest.ask("live") != len(urls):
            raise BenchError("not every camera played to the end")
    return Ingested(
        used=used.spread_over(len(urls)),
        sent=after[0] - before[0],
        published=after[1] - before[1],
        rss_mib_per_camera=grown_mib / len(urls),
    )


async def _counts(simulator: Simulator, ingest: Child) -> tuple[float, float]:
    """Pictures sent and published up to now.

    Some are always on their way, and how many differs from moment to moment: means of several looks,
    in which `sent` is asked before and after `published`.
    """
    looks = []
    for _ in range(LOOKS):
        before = _sent(await simulator.stats())
        published = await ingest.ask("published")
        looks.append(((before + _sent(await simulator.stats())) / 2, published))
        await asyncio.sleep(BETWEEN_LOOKS_S)
    return sum(sent for sent, _ in looks) / LOOKS, sum(published for _, published in looks) / LOOKS


def _sent(counts: Counts) -> int:
    return sum(path.pictures_sent for path in counts.paths.values())


async def _ffmpeg(simulator: Simulator, urls: Sequence[str], seconds: int) -> Used:
    async with _readers(urls) as pids:

        async def playing() -> int:
            return _playing(await simulator.stats())

        await _until(playing, len(urls))
        await asyncio.sleep(SETTLED_S)
        used = await used_by(pids, seconds)
        if await playing() != len(urls):
            raise BenchError("not every ffmpeg played to the end")
    return used.spread_over(len(urls))


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


async def _until(ask: Callable[[], Awaitable[int]], enough: int) -> None:
    deadline_s = time.monotonic() + ALL_PLAY_WITHIN_S
    while (seen := await ask()) < enough:
        if time.monotonic() > deadline_s:
            raise BenchError(f"{seen} of {enough} cameras played within {ALL_PLAY_WITHIN_S:g} s")
        await asyncio.sleep(0.2)


def _playing(counts: Counts) -> int:
    return sum(path.active_sessions for path in counts.paths.values())
