"""What one viewer more costs the relay, and how soon they see what the camera saw."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from bench.child import Child
from bench.figures import BenchError, Result, Target, rounded
from bench.meter import Reading, rss_mib
from bench.spread import percentile, span
from bench.world import CAMERA, GRANTS, box_settings, camera_in_words, development_issuer, people_of
from feedgate_tools.simulator.process import Simulator

ONE_PICTURE_MS: Final = 1000 // CAMERA.fps
SETTLED_S: Final = 3.0
PARTS: Final = 5
"""The measured stretch in so many parts, for the spread."""
LAST_PICTURES_S: Final = 1.0
"""How long the last pictures may be on their way."""
PICTURES_WITHIN_S: Final = 30.0

TARGETS: Final = {
    "cpu_percent_per_viewer": Target("≤", 0.13),
    "latency_p99_ms": Target("≤", 100),
    "received_ratio": Target("≥", 0.999),
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """The measured time, in parts."""

    began_ns: int
    ended_ns: int
    cpu_percent: float
    cpu_percent_of_parts: list[float]
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Fed:
    """One picture on its way to the relay; times by the monotonic clock."""

    sequence: int
    sent_ns: int
    received_ns: int  # at ingest, its first bytes


class Views:
    """What viewers received of the pictures that were fed in the measured time."""

    def __init__(self, fed: list[Fed], seen: list[dict[str, list[int]]]) -> None:
        wanted = {each.sequence for each in fed}
        self.pictures = [
            (sequence, received_ns)
            for viewer in seen
            for sequence, received_ns in zip(viewer["sequences"], viewer["received_ns"], strict=True)
            if sequence in wanted
        ]

    def latencies_ms(self, since_ns: dict[int, int]) -> list[float]:
        """One for each picture and viewer, from the picture's own moment."""
        return [(received_ns - since_ns[sequence]) / 1e6 for sequence, received_ns in self.pictures]


async def measure(viewers: int, seconds: int, fragment_ms: int) -> Result:
    """CPU of the relay's process alone, over `seconds` in which everybody watches.

    Raises:
        BenchError: fragments of several pictures are asked for, or viewers had no pictures.
    """
    if fragment_ms != ONE_PICTURE_MS:
        raise BenchError(
            f"--fragment-ms {fragment_ms}: the relay sends one picture per message, which is {ONE_PICTURE_MS} "
            f"at {CAMERA.fps} pictures a second; fragments of several pictures do not exist yet"
        )
    with tempfile.TemporaryDirectory(prefix="feedgate-bench-") as folder:
        async with (
            Simulator(CAMERA) as camera,
            development_issuer() as issuer,
            Child("bench.under_test.rest_of_box", {"folder": folder, **box_settings(issuer)}) as rest,
            Child(
                "bench.under_test.relay_alone",
                {
                    "folder": folder,
                    "issuers": box_settings(issuer)["issuers"],
                    "access_policy_internal": rest.listening["internal"],
                },
            ) as relay,
            httpx.AsyncClient(base_url=rest.listening["origin"], timeout=30.0) as http,
            people_of(issuer, http, box_settings(issuer)["pool"]) as world,
            Child("bench.viewers") as crowd,
        ):
            await rest.ask("call", folder=folder)
            await relay.ask("ready")
            empty_mib = rss_mib(relay.pid)
            camera_id = await world.owner.register_camera(camera.rtsp_url())
            await rest.ask("send", stream=f"{camera_id}/original")
            opened = await world.open_grants(camera_id)
            tickets = await world.take_tickets(opened, viewers)
            at = urlsplit(relay.listening["origin"])
            await crowd.ask("open", host=at.hostname, port=at.port, tickets=tickets, stalled=[])
            await _until_pictures(crowd)
            await asyncio.sleep(SETTLED_S)
            await crowd.ask("forget")
            stretch = await _stretch(relay.pid, seconds)
            await asyncio.sleep(LAST_PICTURES_S)
            fed = [Fed(*each) for each in await rest.ask("sent")]
            seen = await crowd.ask("pictures")
            leases = await crowd.ask("leases")
            await crowd.ask("close")
    fed = [each for each in fed if stretch.began_ns <= each.sent_ns < stretch.ended_ns]
    if not fed or not leases:
        raise BenchError("no pictures or no leases in the measured time")
    views = Views(fed, seen)
    latencies_ms = views.latencies_ms({each.sequence: each.sent_ns for each in fed})
    from_camera_ms = views.latencies_ms({each.sequence: each.received_ns for each in fed})
    per_viewer = [percent / viewers for percent in stretch.cpu_percent_of_parts]
    return Result(
        bench="fanout",
        parameters={"viewers": viewers, "seconds": seconds, "fragment_ms": fragment_ms},
        figures={
            "cpu_percent_per_viewer": rounded(stretch.cpu_percent / viewers),
            "latency_p50_ms": rounded(percentile(latencies_ms, 50)),
            "latency_p99_ms": rounded(percentile(latencies_ms, 99)),
            "received_ratio": round(len(latencies_ms) / (len(fed) * viewers), 6),
            "rss_mib": rounded(stretch.rss_mib),
        },
        measured=(
            "Relay and embedded bus in one process, all of its CPU divided by the viewers, the feeding included; "
            "registry, access-policy and ingest in another, which feeds it records and pictures over a Unix "
            f"socket; {GRANTS} grants of two operators, tickets, admission, notice sockets with leases, frame "
            "events, audit; latency from the other process's sending a picture to its last byte in the viewers' "
            f"process; camera {camera_in_words(CAMERA)}"
        ),
        spread=f"CPU per viewer in {PARTS} parts of the time {span(per_viewer)} %",
        targets=TARGETS,
        conditions={
            "pictures_per_viewer": len(fed),
            "rss_mib_without_viewers": rounded(empty_mib),
            "from_received_at_p50_ms": rounded(percentile(from_camera_ms, 50)),
            "from_received_at_p99_ms": rounded(percentile(from_camera_ms, 99)),
        },
    )


async def _stretch(pid: int, seconds: int) -> Stretch:
    began_ns = time.monotonic_ns()
    readings = [Reading.of(pid)]
    for part in range(1, PARTS + 1):
        await asyncio.sleep(readings[0].at_s + part * seconds / PARTS - time.monotonic())
        readings.append(Reading.of(pid))
    parts = [later.percent_since(earlier) for earlier, later in zip(readings, readings[1:], strict=False)]
    return Stretch(
        began_ns=began_ns,
        ended_ns=time.monotonic_ns(),
        cpu_percent=readings[-1].percent_since(readings[0]),
        cpu_percent_of_parts=parts,
        rss_mib=rss_mib(pid),
    )


async def _until_pictures(crowd: Child) -> Any:
    deadline_s = time.monotonic() + PICTURES_WITHIN_S
    while await crowd.ask("fewest") == 0:
        if time.monotonic() > deadline_s:
            raise BenchError(f"not every viewer had a picture within {PICTURES_WITHIN_S:g} s")
        await asyncio.sleep(0.1)
