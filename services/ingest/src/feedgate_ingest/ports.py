"""What ingest needs from the world."""

from dataclasses import dataclass
from typing import Protocol

from feedgate_ingest.arrival import Pulse
from feedgate_ingest.picture import PictureTaker
from feedgate_ingest.source import PinnedSource, PoolKeys, SealedSource
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.resolver import Resolver


class Camera(Protocol):
    """Connects to cameras, in whatever way."""

    async def play(self, source: PinnedSource, taker: PictureTaker) -> None:
        """Connect, and hand every picture to `taker` until cancelled.

        Only video is set up, only the pinned address is connected to. When this has
        ended, in whatever way, the connection is closed and `taker` is not called again.

        Raises:
            FeedError: the camera cannot be played or ended it, or `taker` raised it. It
                says nothing of address or credentials, and no exception stands behind it.
        """
        ...


class SourceVault(Protocol):
    """Who keeps the sealed sources."""

    async def fetch(self, camera_id: str) -> SealedSource:
        """The camera's source as it is now.

        Raises:
            FeedError: it is not given out, or nobody answers.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class IngestPorts:
    """Passed in by whoever composes; ingest opens none of them itself."""

    bus: Bus
    camera: Camera
    vault: SourceVault
    resolver: Resolver
    pool_keys: PoolKeys
    pulse: Pulse  # the one that `camera` asks; beaten while the service runs
    clock: Clock
