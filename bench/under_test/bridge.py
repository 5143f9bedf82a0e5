"""Carries records of some topics from one embedded bus to another, over a Unix socket."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from bench.under_test.parcels import ParcelReader, pack
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.bus.record import Record
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE, GRANT_STATE

STATE_TOPICS = (CAMERA_STATE, GRANT_STATE, FEED_STATE)


class Bridge(asyncio.Protocol):
    """One end: what arrives is put on this process's bus, in order."""

    def __init__(self, bus: EmbeddedBus) -> None:
        self._bus = bus
        self._parcels = ParcelReader()
        self._pictures = bus.media_feed(ACCESS_UNITS)
        self._arrived: asyncio.Queue[tuple[str, Record]] = asyncio.Queue()
        self._transport: asyncio.Transport
        self.connected = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self.connected.set()

    def data_received(self, data: bytes) -> None:
        for topic, record in self._parcels.feed(data):
            if topic == ACCESS_UNITS:
                self._pictures.offer(record)
            else:
                self._arrived.put_nowait((topic, record))

    def send(self, topic: str, record: Record) -> None:
        """Send it, while the other process is there."""
        if not self._transport.is_closing():
            self._transport.write(pack(topic, record))

    async def append_arrived(self) -> None:
        """Put what arrives on the bus, until cancelled."""
        while True:
            topic, record = await self._arrived.get()
            if topic in STATE_TOPICS:
                await self._bus.state_log(topic).append(record)
            else:
                await self._bus.event_log(topic).append(record)

    async def send_state(self, topic: str) -> None:
        """Send every record of a state topic from its first on, heartbeats too, until cancelled."""
        reader = await self._bus.state_log(topic).open_reader()
        while True:
            for record in await reader.read():
                self.send(topic, record)

    async def send_demand(self) -> None:
        """Send every demand from now on, until cancelled."""
        async for stored in self._bus.event_log(DEMAND_EVENTS).tail(None):
            self.send(DEMAND_EVENTS, stored.record)

    async def send_pictures(self, stream: str, on_picture: Callable[[Record], None]) -> None:
        """Send every picture of a stream from now on, told of each first, until cancelled."""
        async for record in await self._bus.media_feed(ACCESS_UNITS).open_tail(stream):
            on_picture(record)
            self.send(ACCESS_UNITS, record)


async def listen(path: Path, bridge: Bridge) -> asyncio.AbstractServer:
    return await asyncio.get_running_loop().create_unix_server(lambda: bridge, path)


async def call(path: Path, bridge: Bridge) -> None:
    await asyncio.get_running_loop().create_unix_connection(lambda: bridge, str(path))
