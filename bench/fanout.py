"""What one viewer more costs the relay, and how soon they see what the camera saw."""

import asyncio
import tempfile
from dataclasses import dataclass
from typing import Final

import httpx

from bench.audience import Seen, audience
from bench.child import Child
from bench.figures import BenchError, Result, Target, rounded
from bench.meter import PARTS, rss_mib, used_by
from bench.spread import percentile, span
from bench.world import (
    AGENCY,
    CAMERA,
    GRANTS,
    POOL,
    box_settings,
    camera_in_words,
    development_issuer,
    people_of,
)
from feedgate_tools.simulator.process import Simulator

ONE_PICTURE_MS: Final = 1000 // CAMERA.fps
SETTLED_S: Final = 3.0
LAST_PICTURES_S: Final = 1.0
"""How long the last pictures may be on their way."""

TARGETS: Final = {
    "cpu_percent_per_viewer": Target("≤", 0.13),
    "latency_p99_ms": Target("≤", 100),
    "received_ratio": Target("≥", 0.999),
}


@dataclass(frozen=True, slots=True)
class Fed:
    """One picture on its way to the relay; times by the monotonic clock."""

    sequence: int
    sent_ns: int
    received_ns: int  # at ingest, its first bytes


class Views:
    """What viewers received of the pictures that were fed in the measured time."""

    def __init__(self, fed: list[Fed], seen: list[Seen]) -> None:
        wanted = {each.sequence for each in fed}
        self.pictures = [
            (sequence, received_ns)
            for viewer in seen
            for sequence, received_ns in zip(viewer.sequences, viewer.received_ns, strict=True)
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
                    "token_url": issuer.person("relay").token_url,
                    "client_secret": issuer.person("relay").account.secret,
                },
            ) as relay,
            httpx.AsyncClient(base_url=rest.listening["origin"], timeout=30.0) as http,
            audience() as viewing,
        ):
            world = people_of(issuer, http, AGENCY, POOL)
            await rest.ask("call", folder=folder)
            await relay.ask("ready")
            empty_mib = rss_mib(relay.pid)
            camera_id = await world.owner.register_camera(camera.rtsp_url())
            await rest.ask("send", stream=f"{camera_id}/original")
            opened = await world.open_grants(camera_id)
            tickets = await world.take_tickets(opened, viewers)
            await viewing.open([relay.listening["origin"]], tickets)
            await viewing.until_pictures()
            await asyncio.sleep(SETTLED_S)
            await viewing.forget_pictures()
            used = (await used_by([relay.pid], seconds)).spread_over(viewers)
            full_mib = rss_mib(relay.pid)
            await asyncio.sleep(LAST_PICTURES_S)
            fed = [Fed(*each) for each in await rest.ask("sent")]
            seen = await viewing.seen()
            leases = await viewing.leases()
            await viewing.leave()
    fed = [each for each in fed if used.began_ns <= each.sent_ns < used.ended_ns]
    if not fed or not leases:
        raise BenchError("no pictures or no leases in the measured time")
    views = Views(fed, seen)
    latencies_ms = views.latencies_ms({each.sequence: each.sent_ns for each in fed})
    from_camera_ms = views.latencies_ms({each.sequence: each.received_ns for each in fed})
    return Result(
        bench="fanout",
        parameters={"viewers": viewers, "seconds": seconds, "fragment_ms": fragment_ms},
        figures={
            "cpu_percent_per_viewer": rounded(used.percent),
            "latency_p50_ms": rounded(percentile(latencies_ms, 50)),
            "latency_p99_ms": rounded(percentile(latencies_ms, 99)),
            "received_ratio": round(len(latencies_ms) / (len(fed) * viewers), 6),
            "rss_mib": rounded(full_mib),
            "rss_kib_per_viewer": rounded(1024 * (full_mib - empty_mib) / viewers),
        },
        measured=(
            "Relay and embedded bus in one process, all of its CPU divided by the viewers, the feeding included; "
            "registry, access-policy and ingest in another, which feeds it records and pictures over a Unix "
            f"socket; {GRANTS} grants of two operators, tickets, admission, notice sockets with leases, frame "
            "events, audit; latency from the other process's sending a picture to its last byte in the viewers' "
            f"process; camera {camera_in_words(CAMERA)}"
        ),
        spread=f"CPU per viewer in {PARTS} parts of the time {span(used.parts)} %",
        targets=TARGETS,
        conditions={
            "pictures_per_viewer": len(fed),
            "rss_mib_without_viewers": rounded(empty_mib),
            "from_received_at_p50_ms": rounded(percentile(from_camera_ms, 50)),
            "from_received_at_p99_ms": rounded(percentile(from_camera_ms, 99)),
        },
    )
