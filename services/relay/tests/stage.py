"""A relay without sockets: the real bus, states, views and hubs, driven by a stepped clock."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1.camera_pb2 import SHARING_STOPPED, CameraState
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent
from feedgate_contracts.grant.v1.grant_pb2 import GrantState
from feedgate_contracts.media.v1.access_unit_pb2 import AccessUnit
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.ports import Bus, EventConsumer
from feedgate_kit.clock import Clock
from feedgate_kit.supervise import background
from feedgate_kit.topics import CAMERA_STATE, GRANT_STATE, audit_events, frame_events
from feedgate_relay.admission import Limits
from feedgate_relay.hub import StreamHub
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.name import Name
from feedgate_relay.outgoing import Outgoing
from feedgate_relay.redemption import Redemptions
from feedgate_relay.states import States
from feedgate_relay.ticket import Ticket
from feedgate_relay.view import View
from feedgate_relay.views import Views
from services.relay.tests.scene import (
    AGENCY,
    CAMERA_ID,
    GRANT_ID,
    HOUR_US,
    OPERATOR,
    PURPOSE,
    STREAM,
    Lens,
    SteppedClock,
    camera_state,
    grant_state,
    heartbeat_record,
    state_record,
)

SKEW_US = 100_000
STALL_US = 200_000
LIMITS = Limits(skew_us=SKEW_US, stall_us=STALL_US)
MEDIA_HEADER = struct.Struct(">BBHIQ")


@dataclass(frozen=True)
class MediaMessage:
    """One binary message as a viewer takes it apart."""

    kind: int
    flags: int
    sequence: int
    sent_at_us: int
    body: bytes


def split_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each server frame (RFC 6455 §5.2)."""
    while data:
        opcode, size, head = data[0] & 15, data[1] & 127, 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(data[2:10], "big"), 10
        yield opcode, data[head : head + size]
        data = data[head + size :]


def _nothing() -> None:
    return


class RecordedConnection:
    """A `ports.Connection` that keeps what it is given; `block` makes it a viewer that does not read."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.can_write = True
        self.unsent = False
        self.lost = False
        self.on_writable: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing
        self.written: list[tuple[int, bytes]] = []
        self.ended: tuple[int, str, float] | None = None
        self.on_end: Callable[[], None] = lambda: None

    def write(self, frame: bytes) -> None:
        if self.ended is None and not self.lost:
            self.written.append((self.clock.now_us(), frame))

    def has_unsent(self) -> bool:
        return self.unsent or not self.can_write

    def end(self, code: int, reason: str, within_s: float) -> None:
        if self.ended is None:
            self.ended = (code, reason, within_s)
            self.can_write = False
            self.on_end()

    def block(self) -> None:
        self.can_write = False

    def unblock(self) -> None:
        if self.ended is None:
            self.can_write = True
            self.on_writable()

    def drop(self) -> None:
        """The connection is gone."""
        self.lost = True
        self.can_write = False
        self.on_lost()

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, frame in self.written for _, body in split_frames(frame)]

    def notices(self) -> list[tuple[str, str]]:
        """Code and reason of each notice."""
        return [(m["code"], m["reason"]) for m in self.messages() if m["type"] == "notice"]

    def codes(self) -> list[str]:
        return [code for code, _ in self.notices()]

    def media(self) -> list[MediaMessage]:
        return [
            MediaMessage(kind, flags, sequence, sent_at_us, body[MEDIA_HEADER.size :])
            for _, frame in self.written
            for _, body in split_frames(frame)
            for kind, flags, _, sequence, sent_at_us in [MEDIA_HEADER.unpack_from(body)]
        ]

    def pictures(self) -> list[int]:
        """Sequence of each picture written."""
        return [message.sequence for message in self.media() if message.kind == 2]


@dataclass
class Watching:
    """One view with both its connections."""

    view: View
    notices: RecordedConnection
    media: RecordedConnection

    @property
    def pictures(self) -> list[int]:
        return self.media.pictures()


class Stage:
    """Everything behind the doors."""

    def __init__(self, bus: Bus, clock: SteppedClock, limits: Limits = LIMITS, maximum: int = 100) -> None:
        self.bus = bus
        self.clock = clock
        self.metrics = RelayMetrics(CollectorRegistry())
        self.states = States(bus, clock, limits, self.metrics)
        self.outgoing = Outgoing(bus.event_log, self.metrics)
        self.redemptions = Redemptions(bus, clock, Name("relay-1"))
        self.views = Views(
            bus=bus,
            clock=clock,
            limits=limits,
            states=self.states,
            outgoing=self.outgoing,
            redemptions=self.redemptions,
            metrics=self.metrics,
            media_path="/relay/v1/relays/relay-1/media",
            maximum=maximum,
        )
        self.camera = camera_state(clock.now_us())
        self.grant = grant_state(clock.now_us())
        self.lens = Lens(clock)
        self.tickets = 0
        self._consumers: dict[str, EventConsumer] = {}

    async def settle(self) -> None:
        """Let everything that is under way be read: the bus in memory needs turns of the loop, no time."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def publish(self, *messages: CameraState | GrantState) -> None:
        for message in messages:
            topic = CAMERA_STATE if isinstance(message, CameraState) else GRANT_STATE
            await self.bus.state_log(topic).append(state_record(message, self.clock))
        await self.settle()

    async def beat(self, as_of_us: int | None = None) -> None:
        """Both publishers' heartbeats."""
        for topic in (CAMERA_STATE, GRANT_STATE):
            await self.bus.state_log(topic).append(heartbeat_record(as_of_us or self.clock.now_us()))
        await self.settle()

    async def change_camera(self, **changes: Any) -> None:
        """The owner acts: a new version, and the heartbeat that vouches for it."""
        self.camera = camera_state(
            self.clock.now_us() - HOUR_US // 4, **{"version": self.camera.version + 1, **changes}
        )
        await self.publish(self.camera)
        await self.beat()

    async def withdraw(self) -> None:
        await self.change_camera(terms=[], sharing=SHARING_STOPPED)

    async def change_grant(self, **changes: Any) -> None:
        self.grant = grant_state(self.clock.now_us(), **{"version": self.grant.version + 1, **changes})
        await self.publish(self.grant)
        await self.beat()

    def ticket(self, **changes: Any) -> Ticket:
        self.tickets += 1
        now_us = self.clock.now_us()
        values: dict[str, Any] = {
            "ticket_id": f"ticket-{self.tickets}",
            "operator": OPERATOR,
            "agency": AGENCY,
            "grant_id": GRANT_ID,
            "camera_id": CAMERA_ID,
            "stream": STREAM,
            "purpose": PURPOSE,
            "issued_at_us": now_us,
            "expires_at_us": now_us + 60_000_000,
            "view_until_us": now_us + HOUR_US,
        }
        return Ticket(**{**values, **changes})

    def connection(self) -> RecordedConnection:
        return RecordedConnection(self.clock)

    async def open(self, **changes: Any) -> tuple[View, RecordedConnection]:
        notices = RecordedConnection(self.clock)
        view = await self.views.open(self.ticket(**changes), notices)
        return view, notices

    async def watch(self, **changes: Any) -> Watching:
        """A view with both sockets open and its beginning on record."""
        view, notices = await self.open(**changes)
        media = RecordedConnection(self.clock)
        hello = notices.messages()[0]
        await self.views.open_media(self.views.claim(hello["media_secret"]), media)
        return Watching(view, notices, media)

    def hub(self) -> StreamHub:
        return self.views._hubs[STREAM][0]

    def show(self, *units: AccessUnit) -> None:
        """Units arrive at the relay."""
        for unit in units:
            self.hub().take(unit.SerializeToString())

    async def film(self, count: int, *, every_ms: int = 40) -> None:
        """Time passes, with pictures, heartbeats, checks and leases."""
        for _ in range(count):
            await self.pass_time(every_ms)
            self.show(self.lens.unit())

    async def pass_time(self, milliseconds: int, *, beating: bool = True) -> None:
        """Time passes without pictures."""
        while milliseconds > 0:
            step = min(milliseconds, 250)
            milliseconds -= step
            self.clock.step(milliseconds=step)
            if beating:
                await self.beat()
            self.views.check()

    async def events(self, topic: str, message: type[Message]) -> list[Any]:
        """What was appended to a topic since the last time it was asked about."""
        await self.settle()
        if topic not in self._consumers:
            self._consumers[topic] = await self.bus.event_log(topic).open_consumer("test")
        try:
            async with asyncio.timeout(0):
                stored = await self._consumers[topic].read()
        except TimeoutError:
            return []
        return [message.FromString(entry.record.value) for entry in stored]

    async def audit(self) -> list[AuditRecord]:
        return await self.events(audit_events("relay"), AuditRecord)

    async def frame_events(self) -> Sequence[FrameEvent]:
        return await self.events(frame_events(AGENCY), FrameEvent)


@asynccontextmanager
async def staged(bus: Bus | None = None, limits: Limits = LIMITS, maximum: int = 100) -> AsyncIterator[Stage]:
    """A stage whose states have been read and are fresh."""
    clock = SteppedClock()
    bus = bus or EmbeddedBus(None, clock)
    await bus.start()
    stage = Stage(bus, clock, limits, maximum)
    tasks = {
        "cameras": stage.states.follow_cameras,
        "grants": stage.states.follow_grants,
        "records": stage.outgoing.run,
        "used tickets": stage.redemptions.listen,
        "used tickets, begin": stage.redemptions.make_heard,
    }
    async with background(tasks, clock):
        await stage.publish(stage.camera, stage.grant)
        await stage.beat()
        yield stage
        await stage.views.close()
    await bus.close()
