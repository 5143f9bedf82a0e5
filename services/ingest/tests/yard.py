"""A worker with a scripted camera and a clock that the test moves; the bus is the embedded one, in memory."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import CollectorRegistry

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, CameraState
from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.feed.v1.feed_pb2 import FeedPhase, FeedState
from feedgate_contracts.heartbeat.v1.heartbeat_pb2 import Heartbeat
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_ingest.adapters.scripted_camera import ScriptedCamera, ScriptedConnection
from feedgate_ingest.adapters.wire import state_record, unit_record
from feedgate_ingest.board import Board
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.outlet import Outlet
from feedgate_ingest.pauses import PausePlan
from feedgate_ingest.reasons import FeedError
from feedgate_ingest.session import Session, SessionTools
from feedgate_ingest.source import PoolKeys, SealedSource
from feedgate_ingest.worker import Worker
from feedgate_kit.addresses import Address, parse_networks
from feedgate_kit.bus.ports import MediaTail
from feedgate_kit.bus.record import HEARTBEAT_KEY, VERSION_HEADER, Record
from feedgate_kit.sealing import seal
from feedgate_kit.state_copy import StateCopy, protobuf_decoder
from feedgate_kit.stepped_clock import SteppedClock
from services.ingest.tests.coded import KEY, TRACK, picture

POOL = "yard"
STREAM = "cam/original"
TURNS = 200
"""Of the event loop: more than any of these tests needs until nothing is left to do."""


async def settled() -> None:
    """Let everything that can go on go on. Nothing here waits for the world."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Vault:
    """Registry, for one pool: what it hands over can be changed and taken away."""

    def __init__(self) -> None:
        self.private_key = X25519PrivateKey.generate()
        self.urls: dict[str, str] = {}
        self.failure: FeedError | None = None
        self.fetched = 0
        self.allowed_networks = ["192.0.2.0/24"]

    async def fetch(self, camera_id: str) -> SealedSource:
        self.fetched += 1
        if self.failure is not None:
            raise self.failure
        url = self.urls.get(camera_id, f"rtsp://admin:hunter2@192.0.2.1/{camera_id}")
        sealed = seal(self.private_key.public_key(), url.encode(), camera_id, 1, "key")
        return SealedSource(camera_id, 1, "key", sealed, parse_networks(self.allowed_networks))


class Names:
    """A resolver that knows what it was told."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}

    async def addresses(self, host: str) -> Sequence[Address]:
        return [ip_address(text) for text in self.known.get(host, [host])]


@dataclass
class Pause:
    """A session that waits before its next run."""

    seconds: float
    over: asyncio.Event


class Feed:
    """Takes every picture."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []

    def offer(self, record: Record) -> bool:
        self.units.append(AccessUnit.FromString(record.value))
        return True

    async def open_tail(self, key: str) -> MediaTail:
        raise NotImplementedError(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        raise NotImplementedError(key, spare_s)


class States:
    """A state log that keeps what was said, and can be away."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failure: Exception | None = None

    async def append(self, record: Record) -> None:
        if self.failure is not None:
            raise self.failure
        self.records.append(record)

    async def open_reader(self) -> "States":
        return self

    async def read(self) -> Sequence[Record]:
        raise NotImplementedError

    async def read_to_end(self) -> Sequence[Record]:
        return list(self.records)

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        yield list(self.records)

    async def close(self) -> None:
        pass

    def said(self, stream: str = STREAM) -> list[FeedState]:
        return [FeedState.FromString(record.value) for record in self.records if record.key == stream]


class Part:
    """What the group gave this worker: everything but what a test says."""

    def __init__(self, generation: int = 1, *, without: Collection[str] = ()) -> None:
        self.generation = generation
        self.without = set(without)
        self.is_alive = True

    def covers(self, key: str) -> bool:
        return self.is_alive and key not in self.without


class Yard:
    """Everything of a worker but the network."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.camera = ScriptedCamera()
        self.vault = Vault()
        self.names = Names()
        self.feed = Feed()
        self.states = States()
        self.registry = CollectorRegistry()
        self.pauses: list[Pause] = []
        self.versions: dict[str, int] = {}
        self.erased: list[str] = []
        self.metrics = IngestMetrics(self.registry)
        self.board = Board(
            self.states, partial(state_record, worker_id="worker", clock=self.clock), self.clock, self.metrics
        )
        tools = SessionTools(
            camera=self.camera,
            vault=self.vault,
            resolver=self.names,
            pool_keys=PoolKeys({"key": self.vault.private_key}),
            own_networks=(),
            new_outlet=partial(Outlet, self.feed, unit_record, self.metrics),
            board=self.board,
            metrics=self.metrics,
            clock=self.clock,
            generation=lambda: self.worker.share.generation,
            pause=self._pause,
            draw=lambda: 1.0,
        )
        self.copy: StateCopy[CameraState] = StateCopy(protobuf_decoder(CameraState), self.clock)
        self.worker = Worker(
            pool=POOL,
            cameras=self.copy,
            new_session=lambda target, attempts: Session(target, attempts, tools),
            erase=self.erased.append,
            board=self.board,
            clock=self.clock,
            skew_us=0,
            plan=PausePlan(),
        )
        self.worker.share = Part()

    async def _pause(self, seconds: float) -> None:
        pause = Pause(seconds, asyncio.Event())
        self.pauses.append(pause)
        await pause.over.wait()

    # What the owner, registry's publisher and the relays do

    def share(self, camera_id: str = "cam", /, **changes: object) -> None:
        self.versions[camera_id] = self.versions.get(camera_id, 0) + 1
        state = CameraState(
            camera_id=camera_id,
            version=self.versions[camera_id],
            sharing=SHARING_ON,
            ingest_pool=POOL,
            pool_version=1,
        )
        state.MergeFrom(CameraState(**changes))  # type: ignore[arg-type]  # fields of the message, by name
        self.publish(camera_id, state.SerializeToString())

    def publish(self, camera_id: str, value: bytes) -> None:
        version = str(self.versions.setdefault(camera_id, 1))
        self.copy.apply(Record(camera_id, value, {VERSION_HEADER: version}))

    def beat(self) -> None:
        heartbeat = Heartbeat()
        heartbeat.as_of.FromMicroseconds(self.clock.now_us())
        self.copy.apply(Record(HEARTBEAT_KEY, heartbeat.SerializeToString()))

    async def demand(self, stream: str = STREAM, *, relay_id: str = "relay", release: bool = False) -> None:
        message = StreamDemanded(stream=stream, relay_id=relay_id, release=release)
        message.demanded_at.FromMicroseconds(self.clock.now_us())
        await self.worker.take_demand(message)

    # Going on

    async def go_on(self, seconds: float = 0.0, *, fresh: bool = True) -> None:
        """Time passes, then the worker looks around and everything settles."""
        self.clock.advance(seconds)
        if fresh:
            self.beat()
        self.worker.settle()
        await settled()
        self.worker.settle()
        await settled()
        if self.states.failure is None:
            await self.board.send()

    async def connect(self) -> ScriptedConnection:
        """A shared and demanded camera, connected, before its first picture."""
        self.share()
        await self.demand()
        await self.go_on()
        return self.connection

    async def go_live(self) -> ScriptedConnection:
        """The same with its first picture."""
        connection = await self.connect()
        connection.begin(TRACK)
        connection.send(picture(0, KEY))
        await self.go_on()
        return connection

    async def retry(self) -> ScriptedConnection:
        """The pause under way is over."""
        pause = self.pauses[-1]
        self.clock.advance(pause.seconds)
        pause.over.set()
        await self.go_on()
        return self.connection

    @property
    def connection(self) -> ScriptedConnection:
        return self.camera.connections[-1]

    @property
    def last_words(self) -> list[tuple[str, str]]:
        """Phase and reason of everything said on the stream."""
        return [
            (FeedPhase.Name(state.phase).removeprefix("FEED_PHASE_").lower(), state.reason)
            for state in self.states.said()
        ]
