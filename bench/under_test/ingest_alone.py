"""Ingest and its bus in one process; registry and relays are played by as little as it takes.

What they say costs this process something, too: a heartbeat every 0.5 s, a
demand for each camera every 2 s, and a follower of each stream who takes what
comes, as a relay's tail does.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr

from bench.child import obey
from bench.under_test.work import carried
from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.feed.v1.feed_pb2 import FEED_PHASE_LIVE, FeedState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_ingest.app import create_app, system_ports
from feedgate_ingest.settings import IngestSettings
from feedgate_ingest.source import SealedSource
from feedgate_kit.addresses import parse_networks
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.ids import new_id
from feedgate_kit.sealing import key_id_of, private_key_text, seal
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE

POOL = "bench"
HEARTBEAT_S = 0.5
DEMAND_S = 2.0
PUBLISHED = "ingest_access_units_published_total"


class Vault:
    """A `SourceVault`: seals as registry does."""

    def __init__(self, urls: dict[str, str], key: X25519PrivateKey) -> None:
        self._urls = urls  # by camera
        self._key = key.public_key()

    async def fetch(self, camera_id: str) -> SealedSource:
        key_id = key_id_of(self._key)
        sealed = seal(self._key, self._urls[camera_id].encode(), camera_id, 1, key_id)
        return SealedSource(camera_id, 1, key_id, sealed, parse_networks(["127.0.0.1/32"]))


class Ingest:
    """The service, its bus, and what is said to it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clock = SystemClock()
        self._live: set[str] = set()
        self._bus: EmbeddedBus | KafkaBus

    async def handle(self, command: str, given: dict[str, Any]) -> Any:
        match command:
            case "start":
                return await self._start(**given)
            case "demand":
                await self._stack.enter_async_context(carried([self._demand()]))
                return None
            case "live":
                return len(self._live)
            case "published":
                return self._service.registry.get_sample_value(PUBLISHED)
        raise ValueError(f"command `{command}`")

    async def _start(self, *, folder: str, urls: list[str], kafka_bootstrap: str | None) -> None:
        if kafka_bootstrap is None:
            self._bus = EmbeddedBus(Path(folder) / "ingest-bus.sqlite", self._clock)
        else:
            self._bus = KafkaBus(KafkaSettings(bootstrap=kafka_bootstrap), self._clock)
        self._stack.push_async_callback(self._bus.close)
        await self._bus.start()
        self._cameras = {new_id(): url for url in urls}
        key = X25519PrivateKey.generate()
        settings = IngestSettings(
            pool=POOL,
            pool_private_key=SecretStr(private_key_text(key)),
            skew_s=0.0,
            worker_id="bench",
        )
        ports = system_ports(settings, self._bus, self._clock, _no_token)
        self._service = create_app(settings, replace(ports, vault=Vault(self._cameras, key)))
        for camera_id in self._cameras:
            state = CameraState(
                camera_id=camera_id, version=1, sharing=SHARING_ON, ingest_pool=POOL, pool_version=1
            )
            await self._bus.state_log(CAMERA_STATE).append(
                Record(camera_id, state.SerializeToString(), {VERSION_HEADER: "1"})
            )
        works = [self._beat(), self._listen()]
        if kafka_bootstrap is None:  # whoever follows a Kafka topic does so in another process
            works += [self._follow(f"{camera_id}/original") for camera_id in self._cameras]
        await self._stack.enter_async_context(carried(works))
        await self._stack.enter_async_context(self._service.lifespan())

    async def _beat(self) -> None:
        log = self._bus.state_log(CAMERA_STATE)
        for sequence in count():
            heartbeat = Heartbeat(sequence=sequence)
            heartbeat.as_of.FromMicroseconds(self._clock.now_us())
            await log.append(Record(HEARTBEAT_KEY, heartbeat.SerializeToString()))
            await asyncio.sleep(HEARTBEAT_S)

    async def _demand(self) -> None:
        log = self._bus.event_log(DEMAND_EVENTS)
        while True:
            for camera_id in self._cameras:
                demand = StreamDemanded(stream=f"{camera_id}/original", relay_id="bench")
                demand.demanded_at.FromMicroseconds(self._clock.now_us())
                await log.append(Record(camera_id, demand.SerializeToString()))
            await asyncio.sleep(DEMAND_S)

    async def _listen(self) -> None:
        reader = await self._bus.state_log(FEED_STATE).open_reader()
        while True:
            for record in await reader.read():
                if FeedState.FromString(record.value).phase == FEED_PHASE_LIVE:
                    self._live.add(record.key)
                else:
                    self._live.discard(record.key)

    async def _follow(self, stream: str) -> None:
        async for _ in await self._bus.media_feed(ACCESS_UNITS).open_tail(stream):
            pass


async def _no_token() -> str:
    return ""


async def main() -> None:
    async with AsyncExitStack() as stack:
        await obey(Ingest(stack).handle)


if __name__ == "__main__":
    configure_logging("ERROR", sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
