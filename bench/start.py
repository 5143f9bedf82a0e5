"""From a service's start to its readiness, with a state topic of many cameras to read."""

import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiokafka

from bench.figures import Result, Target, rounded
from bench.meter import rss_mib
from bench.servers import Deployment, deployment
from bench.spread import median, span
from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState, Terms
from feedgate_kit.bus.record import VERSION_HEADER
from feedgate_kit.ids import new_id
from feedgate_kit.topics import CAMERA_STATE

SERVICES: Final = ("registry", "access-policy", "audit", "ingest", "relay")
STARTS: Final = 3
WITHIN_MS: Final = 3_000
HOUR_S: Final = 3_600


async def measure(cameras: int) -> Result:
    """Each service killed and started again, the others running.

    Raises:
        BenchError: a server is not installed.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedgate-bench-")))
        deployed = await stack.enter_async_context(deployment(folder))
        record_bytes = await _fill(deployed.kafka_bootstrap, cameras)
        ready_ms = {service: [await _start(deployed, service) for _ in range(STARTS)] for service in SERVICES}
        relay_mib = rss_mib(deployed.processes["relay"].pid)
    figures = {
        f"{service.replace('-', '_')}_ready_ms": rounded(median(samples))
        for service, samples in ready_ms.items()
    }
    return Result(
        bench="start",
        parameters={"cameras": cameras},
        figures={**figures, "relay_rss_mib": rounded(relay_mib), "record_bytes": record_bytes},
        measured=(
            "A service's process started, everything else running, until its `/readyz` says yes: Python, imports, "
            "Kafka, PostgreSQL, the whole camera topic read in order and a heartbeat after it. The relay's holds "
            "0.5 s of margin in which it takes no ticket older than itself. Every record has one authorisation"
        ),
        spread="; ".join(f"{service} {span(samples)} ms" for service, samples in ready_ms.items()),
        targets={name: Target("≤", WITHIN_MS) for name in figures},
        conditions={"starts_of_each": STARTS},
    )


async def _start(deployed: Deployment, service: str) -> float:
    """Milliseconds until it was ready."""
    deployed.processes[service].kill()
    began_s = time.monotonic()
    deployed.start(service)
    await deployed.until_ready(service)
    return (time.monotonic() - began_s) * 1_000


async def _fill(bootstrap: str, cameras: int) -> int:
    """Records of so many cameras into the state topic, as registry writes them; the bytes of each."""
    now_s = int(time.time())
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20)
    size = 0
    async with producer:
        for _ in range(cameras):
            state = _camera(now_s)
            value = state.SerializeToString()
            size = len(value)
            await producer.send(
                CAMERA_STATE, value, key=state.camera_id.encode(), headers=[(VERSION_HEADER, b"1")]
            )
    return size


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
