"""How each camera's stream fares at ingest, as the feed log last said. No right depends on it."""

import asyncio

import structlog
from google.protobuf.message import DecodeError

from feedgate_contracts.feed.v1.feed_pb2 import FeedState
from feedgate_kit.bus.ports import StateLog
from feedgate_kit.bus.record import HEARTBEAT_KEY, Record
from feedgate_registry.metrics import RegistryMetrics

RENDITION = "original"

logger = structlog.get_logger(__name__)


class Feeds:
    """The newest record of every stream.

    Several workers write here, each about its own time with a stream, so the
    last record in the log counts and not the highest version: after a restart
    the log has nothing else to say.
    """

    def __init__(self, metrics: RegistryMetrics) -> None:
        """Know nothing yet."""
        self.metrics = metrics
        self.caught_up = asyncio.Event()
        self._states: dict[str, FeedState] = {}

    def of_camera(self, camera_id: str) -> FeedState | None:
        """None if ingest never said anything of it."""
        return self._states.get(f"{camera_id}/{RENDITION}")

    def apply(self, record: Record) -> None:
        """Take one record. One that does not parse, or is empty, leaves its stream's phase unspecified."""
        if record.key == HEARTBEAT_KEY:
            return
        try:
            self._states[record.key] = FeedState.FromString(record.value)
        except DecodeError:
            self._states[record.key] = FeedState()
            self.metrics.feed_records_unreadable.inc()
            logger.warning("feed record does not parse", stream=record.key, bytes=len(record.value))

    async def follow(self, log: StateLog) -> None:
        """Read the log from its first record on, until cancelled."""
        reader = await log.open_reader()
        try:
            batch = await reader.read_to_end()
            while True:
                for record in batch:
                    self.apply(record)
                self.caught_up.set()
                batch = await reader.read()
        finally:
            await reader.close()
