"""Ingest with everything around it played: registry, relays and the bus they share."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Self

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState, Sharing
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.feed.v1.feed_pb2 import FeedState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_ingest.app import create_app, system_ports
from feedgate_ingest.ports import IngestPorts
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.ids import new_id
from feedgate_kit.sealing import key_id_of, private_key_text, seal
from feedgate_kit.service import Service
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE

POOL = "yard"
HEARTBEAT_S = 0.5
DEMAND_S = 2.0
PATIENCE_S = 20.0
"""How long a test waits for what must come; it goes on at the moment it comes."""

ON_LOOPBACK = ("127.0.0.1/32",)


@dataclass
class SharedCamera:
    """A camera as its owner registered it."""

    url: str
    allowed_networks: tuple[str, ...] = ON_LOOPBACK
    camera_id: str = field(default_factory=new_id)
    version: int = 1
    source_version: int = 1
    mask_version: int = 0
    sharing: Sharing = SHARING_ON
    pool: str = POOL
    pool_version: int = 1

    @property
    def stream(self) -> str:
        return f"{self.camera_id}/original"

    def state(self) -> CameraState:
        return CameraState(
            camera_id=self.camera_id,
            version=self.version,
            sharing=self.sharing,
            mask_version=self.mask_version,
            ingest_pool=self.pool,
            pool_version=self.pool_version,
        )


class IngestWorld:
    """One ingest service on an embedded bus; the test plays the owner, registry and the relays."""

    def __init__(self, **settings: object) -> None:
        self.clock = SystemClock()
        self.bus = EmbeddedBus(None, self.clock)
        self.private_key = X25519PrivateKey.generate()
        self.settings = IngestSettings.model_validate(
            {
                "pool": POOL,
                "pool_private_key": SecretStr(private_key_text(self.private_key)),
                "registry_url": "http://registry.invalid",
                "skew_s": 0.0,
                "worker_id": "worker",
                **settings,
            }
        )
        self.handed_over = 0
        self.is_publishing = asyncio.Event()
        self.is_publishing.set()
        self.service: Service
        self._cameras: dict[str, SharedCamera] = {}
        self._demands: dict[str, asyncio.Task[None]] = {}
        self._said: list[FeedState] = []
        self._news = asyncio.Condition()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(_started(self.bus))
        ports = self.ports()
        self.service = create_app(self.settings, ports)
        await self._stack.enter_async_context(self._tasks())
        await self._stack.enter_async_context(self.service.lifespan())
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._demands.values():
            task.cancel()
        await asyncio.gather(*self._demands.values(), return_exceptions=True)
        await self._stack.aclose()

    def ports(self) -> IngestPorts:
        return system_ports(
            self.settings, self.bus, self.clock, self._token, httpx.MockTransport(self._answer_as_registry)
        )

    # The owner

    async def share(self, camera: SharedCamera) -> SharedCamera:
        """Publish the camera's record as it is now."""
        self._cameras[camera.camera_id] = camera
        record = Record(
            camera.camera_id, camera.state().SerializeToString(), {VERSION_HEADER: str(camera.version)}
        )
        await self.bus.state_log(CAMERA_STATE).append(record)
        return camera

    async def change(self, camera: SharedCamera, **changes: object) -> None:
        """Publish its next version."""
        for name, value in changes.items():
            setattr(camera, name, value)
        camera.version += 1
        await self.share(camera)

    # The relays

    def demand(self, camera: SharedCamera, relay_id: str = "relay-1") -> None:
        """Demand its pictures until released, as a relay with an open view does."""
        self._demands[camera.stream] = asyncio.create_task(self._repeat(camera, relay_id))

    async def release(self, camera: SharedCamera, relay_id: str = "relay-1") -> None:
        await self.fall_silent(camera)
        await self._say_demand(camera, relay_id, release=True)

    async def fall_silent(self, camera: SharedCamera) -> None:
        """The relay is gone without a word."""
        task = self._demands.pop(camera.stream)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def take(self, camera: SharedCamera, count: int) -> list[AccessUnit]:
        """Its next pictures."""
        async with asyncio.timeout(PATIENCE_S), self.pictures(camera) as pictures:
            return [await anext(pictures) for _ in range(count)]

    @asynccontextmanager
    async def pictures(self, camera: SharedCamera) -> AsyncIterator[AsyncIterator[AccessUnit]]:
        """Its pictures from now on."""
        tail = await self.bus.media_feed(ACCESS_UNITS).open_tail(camera.stream)

        async def units() -> AsyncIterator[AccessUnit]:
            async for record in tail:
                yield AccessUnit.FromString(record.value)

        try:
            yield units()
        finally:
            await tail.close()

    # What everybody is told

    async def until(
        self, camera: SharedCamera, is_so: Callable[[FeedState], bool], *, timeout_s: float = PATIENCE_S
    ) -> FeedState:
        """The first word on the camera, said ever, for which `is_so` holds."""
        async with asyncio.timeout(timeout_s), self._news:
            while True:
                for state in self._said:
                    if state.stream == camera.stream and is_so(state):
                        return state
                await self._news.wait()

    async def until_reason(self, camera: SharedCamera, reason: str) -> FeedState:
        return await self.until(camera, lambda state: state.reason == reason)

    async def until_phase(self, camera: SharedCamera, phase: int) -> FeedState:
        return await self.until(camera, lambda state: state.phase == phase)

    def said(self, camera: SharedCamera) -> list[FeedState]:
        return [state for state in self._said if state.stream == camera.stream]

    def forget_said(self) -> None:
        self._said.clear()

    # Behind the scenes

    @asynccontextmanager
    async def _tasks(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._publish_heartbeats()), group.create_task(self._listen())]
            yield
            for task in tasks:
                task.cancel()

    async def _publish_heartbeats(self) -> None:
        log = self.bus.state_log(CAMERA_STATE)
        for sequence in count():
            await self.is_publishing.wait()
            heartbeat = Heartbeat(sequence=sequence)
            heartbeat.as_of.FromMicroseconds(self.clock.now_us())
            await log.append(Record(HEARTBEAT_KEY, heartbeat.SerializeToString()))
            await asyncio.sleep(HEARTBEAT_S)

    async def _listen(self) -> None:
        reader = await self.bus.state_log(FEED_STATE).open_reader()
        while True:
            states = [FeedState.FromString(record.value) for record in await reader.read()]
            async with self._news:
                self._said += states
                self._news.notify_all()

    async def _repeat(self, camera: SharedCamera, relay_id: str) -> None:
        while True:
            await self._say_demand(camera, relay_id, release=False)
            await asyncio.sleep(DEMAND_S)

    async def _say_demand(self, camera: SharedCamera, relay_id: str, *, release: bool) -> None:
        message = StreamDemanded(stream=camera.stream, relay_id=relay_id, release=release)
        message.demanded_at.FromMicroseconds(self.clock.now_us())
        await self.bus.event_log(DEMAND_EVENTS).append(Record(camera.camera_id, message.SerializeToString()))

    @staticmethod
    async def _token() -> str:
        return "token"

    def _answer_as_registry(self, request: httpx.Request) -> httpx.Response:
        camera = self._cameras[request.url.path.split("/")[4]]
        question = json.loads(request.content)
        if camera.sharing != SHARING_ON or question["pool"] != camera.pool:
            return httpx.Response(409)
        self.handed_over += 1
        public_key = self.private_key.public_key()
        key_id = key_id_of(public_key)
        sealed = seal(public_key, camera.url.encode(), camera.camera_id, camera.source_version, key_id)
        return httpx.Response(
            200,
            json={
                "camera_id": camera.camera_id,
                "version": camera.source_version,
                "key_id": key_id,
                "sealed": base64.b64encode(sealed).decode(),
                "pool": camera.pool,
                "allowed_networks": list(camera.allowed_networks),
            },
        )


@asynccontextmanager
async def _started(bus: EmbeddedBus) -> AsyncIterator[None]:
    await bus.start()
    try:
        yield
    finally:
        await bus.close()
