"""From a service's start to its readiness, with a state topic of many cameras to read."""

import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiokafka

from bench.figures import Result, Target, rounded
from bench.meter import Reading, rss_mib
from bench.servers import SERVICES, Platform, deployment
from bench.spread import median, span
from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState, Terms
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.record import VERSION_HEADER
from feedgate_kit.clock import SystemClock
from feedgate_kit.ids import new_id
from feedgate_kit.topics import CAMERA_STATE

PUBLISHING: Final = ("registry", "access-policy")
STARTS: Final = 3
READY_MS: Final = 3_000
HOUR_S: Final = 3_600


async def measure(cameras: int) -> Result:
    """Each service killed and started again, the others running; with an empty camera topic, then a full one.

    Raises:
        BenchError: a server is not installed.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        deployed = await stack.enter_async_context(deployment(folder))
        empty = {service: await _starts(deployed, service) for service in SERVICES}
        before = deployed.log_bytes(CAMERA_STATE)
        await _fill(deployed.kafka_bootstrap, cameras)
        record_bytes = (deployed.log_bytes(CAMERA_STATE) - before) / max(1, cameras)
        full = {service: await _starts(deployed, service) for service in SERVICES}
    figures = {f"{_name(service)}_ready_ms": rounded(median(full[service].ready_ms)) for service in SERVICES}
    return Result(
        bench="start",
        parameters={"cameras": cameras},
        figures={
            **figures,
            **{
                f"{_name(service)}_ready_empty_ms": rounded(median(empty[service].ready_ms))
                for service in SERVICES
            },
            **{f"{_name(service)}_rss_mib": rounded(median(full[service].rss_mib)) for service in SERVICES},
            **{
                f"{_name(service)}_rss_empty_mib": rounded(median(empty[service].rss_mib))
                for service in SERVICES
            },
            "camera_topic_bytes_per_camera": rounded(record_bytes),
        },
        measured=(
            "A service's process started, everything else running, until its `/readyz` says yes: Python, imports, "
            "Kafka, PostgreSQL, the whole camera topic read in order and a heartbeat after it. The relay's holds "
            "0.5 s of margin in which it takes no ticket older than itself. Every record has one authorisation. "
            "`empty`: the same with no camera at all. Memory is the process's once it has read everything"
        ),
        spread="; ".join(f"{service} {span(full[service].ready_ms)} ms" for service in SERVICES),
        targets={name: Target("≤", READY_MS) for name in figures},
        conditions={
            "starts_of_each": STARTS,
            "own_cpu_ms": {service: rounded(median(full[service].cpu_ms)) for service in SERVICES},
            "own_cpu_empty_ms": {service: rounded(median(empty[service].cpu_ms)) for service in SERVICES},
        },
    )


@dataclass(frozen=True, slots=True)
class Starts:
    """Of one service."""

    ready_ms: list[float]
    cpu_ms: list[float]
    """Of the process until then: what a busy machine does not change."""
    rss_mib: list[float]


def _name(service: str) -> str:
    return service.replace("-", "_")


async def _starts(deployed: Platform, service: str) -> Starts:
    """Several, one after the other."""
    starts = Starts([], [], [])
    for _ in range(STARTS):
        deployed.processes[service].kill()
        began_s = time.monotonic()
        deployed.start(service)
        await deployed.until_ready(service)
        starts.ready_ms.append((time.monotonic() - began_s) * 1_000)
        starts.cpu_ms.append(Reading.of(deployed.processes[service].pid).cpu_s * 1_000)
        if service in PUBLISHING:  # ready before it has read its own topic
            await deployed.until_publishing(service)
        starts.rss_mib.append(rss_mib(deployed.processes[service].pid))
    return starts


async def _fill(bootstrap: str, cameras: int) -> None:
    """Records of so many cameras into the state topic, as registry writes them."""
    clock = SystemClock()
    now_s = int(time.time())
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)
    async with producer:
        for _ in range(cameras):
            state = _camera(now_s)
            headers = headers_for(
                type=state.DESCRIPTOR.full_name, source="registry", subject=state.camera_id, clock=clock
            )
            await producer.send(
                CAMERA_STATE,
                state.SerializeToString(),
                key=state.camera_id.encode(),
                headers=[
                    *((name, value.encode()) for name, value in headers.items()),
                    (VERSION_HEADER, b"1"),
                ],
            )


def _camera(now_s: int) -> CameraState:
    state = CameraState(
        camera_id=new_id(),
        version=1,
        owner="0" * 64,
        sharing=SHARING_ON,
        jurisdiction="AR",
        ingest_pool="elsewhere",
        pool_version=1,
    )
    state.resumed_at.FromSeconds(now_s)
    state.place.longitude, state.place.latitude = -58.381592, -34.603722
    terms = Terms(
        authorisation_id=new_id(),
        agencies=["metro-police"],
        purposes=["investigation"],
        renditions=["original"],
    )
    terms.opens_at.FromSeconds(now_s)
    terms.expires_at.FromSeconds(now_s + 24 * HOUR_S)
    state.terms.append(terms)
    return state
