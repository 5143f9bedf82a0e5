"""What a watched camera costs every part of a deployment, and what it leaves on disks."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Final

import httpx

from bench.audience import audience
from bench.figures import Result, rounded
from bench.meter import Used, family_of, rss_mib, used_by
from bench.servers import SERVICES, Platform, deployment, gateway_of
from bench.spread import span
from bench.world import CAMERA, World, camera_in_words, people_of
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.topics import ACCESS_UNITS, frame_events, load_topics
from feedgate_tools.simulator.process import Simulator

SETTLED_S: Final = 3.0
BROKERS: Final = 3


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What lies on each broker's disk at one moment, bytes."""

    media: int
    agency: int


async def measure(pairs: int, seconds: int) -> Result:
    """CPU beyond that of an idle deployment, over `seconds` in which every camera has a viewer.

    Args:
        pairs: of cameras, each pair in one partition of the media topic. A second relay has a viewer of one
            of each, and so fetches the other for nobody.
        seconds: less than pictures are kept.

    Raises:
        BenchError: a server is not installed, or a viewer had no picture.
    """
    street = replace(CAMERA, cameras=2 * pairs)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        simulator = await stack.enter_async_context(Simulator(street))
        deployed = await stack.enter_async_context(
            deployment(folder, brokers=BROKERS, processes={"relay": 2})
        )
        relay, other = deployed.names("relay")
        gateway = stack.enter_context(gateway_of(folder, deployed, [relay]))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=gateway.origin, verify=gateway.trust(), timeout=30.0)
        )
        people = await stack.enter_async_context(deployed.people())
        world = people_of(deployed.issuer, http, people.agency, people.pool)
        viewing = await stack.enter_async_context(audience())
        beside = await stack.enter_async_context(audience())
        chosen = await _cameras_in_pairs(world, simulator, pairs)
        grants = [await world.open_grants(camera_id, 1) for camera_id in chosen]
        parts = _parts_of(deployed, gateway.process.pid)
        idle = await _used_by_each(parts, seconds)
        tickets = [ticket for opened in grants for ticket in await world.take_tickets(opened, 1)]
        await viewing.open([gateway.origin], tickets, ca_file=gateway.ca_file)
        stack.push_async_callback(viewing.leave)
        tickets = [ticket for opened in grants[::2] for ticket in await world.take_tickets(opened, 1)]
        await beside.open([deployed.origin(other)], tickets)
        stack.push_async_callback(beside.leave)
        await viewing.until_pictures()
        await beside.until_pictures()
        await asyncio.sleep(SETTLED_S)
        before = _on_disk(deployed, people.agency)
        used = await _used_by_each(parts, seconds)
        after = _on_disk(deployed, people.agency)
        rss = {service: rss_mib(deployed.processes[service].pid) for service in SERVICES}
    cpu = {name: used[name].percent - idle[name].percent for name in parts}
    cameras = 2 * pairs
    wanted = cpu[relay] / cameras
    return Result(
        bench="load",
        parameters={"pairs": pairs, "seconds": seconds},
        figures={
            "ingest_cpu_percent_per_camera": rounded(cpu["ingest"] / cameras),
            "brokers_cpu_percent_per_camera": rounded(cpu["brokers"] / cameras),
            "relay_cpu_percent_per_camera": rounded(wanted),
            "relay_cpu_percent_per_foreign_camera": rounded((cpu[other] - pairs * wanted) / pairs),
            "gateway_cpu_percent_per_viewer": rounded(cpu["gateway"] / cameras),
            "audit_cpu_percent_per_viewer": rounded(cpu["audit"] / (cameras + pairs)),
            "media_topic_bytes_per_s": rounded((after.media - before.media) / seconds / cameras),
            "agency_topic_bytes_per_s": rounded((after.agency - before.agency) / seconds / (cameras + pairs)),
            "brokers_idle_cpu_percent": rounded(idle["brokers"].percent),
            "ingest_idle_cpu_percent": rounded(idle["ingest"].percent),
            "relay_idle_cpu_percent": rounded(max(idle[relay].percent, idle[other].percent)),
            **{f"{service.replace('-', '_')}_rss_mib": rounded(mib) for service, mib in rss.items()},
        },
        measured=(
            "Every camera has one viewer, who comes through the deployed gateway, at one relay; one of each pair, "
            "whose partition is the same, has another one at the second relay, which fetches the other camera for "
            "nobody. CPU of all processes of a part, less what they use when nobody looks, which is `idle` (of the "
            f"relays the higher); of the brokers all {BROKERS} together, each of which keeps every record; bytes as "
            "they lie on each broker's disk, of the media topic a camera's, of the agency's a grant's at one relay; "
            f"cameras out of step, each {camera_in_words(street)}"
        ),
        spread="; ".join(
            f"{name} {span(each.parts)} %, idle {span(idle[name].parts)} %" for name, each in used.items()
        ),
    )


async def _cameras_in_pairs(world: World, simulator: Simulator, pairs: int) -> list[str]:
    """Camera ids two by two: both of one partition of the media topic, which no other pair has."""
    partitions = load_topics()[ACCESS_UNITS].partitions
    alone: dict[int, str] = {}
    paired: dict[int, tuple[str, str]] = {}
    paths = cycle(simulator.paths)
    while len(paired) < pairs:
        camera_id = await world.owner.register_camera(simulator.rtsp_url(next(paths)))
        partition = partition_of(f"{camera_id}/original", partitions)
        if partition not in paired and alone.setdefault(partition, camera_id) != camera_id:
            paired[partition] = alone[partition], camera_id
    return [camera_id for pair in paired.values() for camera_id in pair]


async def _used_by_each(parts: Mapping[str, Sequence[int]], seconds: float) -> dict[str, Used]:
    """What each part uses during the next seconds."""
    used = await asyncio.gather(*(used_by(pids, seconds) for pids in parts.values()))
    return dict(zip(parts, used, strict=True))


def _parts_of(deployed: Platform, gateway_pid: int) -> dict[str, list[int]]:
    """The processes of each part."""
    own = {name: [deployed.processes[name].pid] for name in ("ingest", *deployed.names("relay"), "audit")}
    brokers = [node.process.pid for node in deployed.brokers]
    return {**own, "brokers": brokers, "gateway": family_of(gateway_pid)}


def _on_disk(deployed: Platform, agency: str) -> OnDisk:
    return OnDisk(deployed.log_bytes(ACCESS_UNITS), deployed.log_bytes(frame_events(agency)))
