"""What Chromium's compositor puts on the screen, whatever the page's own code does or says.

A screenshot asks the page for a frame and so waits for its code; the screencast
takes every frame that the compositor draws.
"""

import asyncio
import base64
from bisect import insort
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from feedgate_tools.simulator.picture_number import Image, read_picture_number

QUIET_S = 0.5
"""Chromium leaves a frame out while two are unacknowledged, be it the last one that is drawn for a long time."""

FLAT = 8.0
"""Spread of grey levels in a part of the tile that shows no picture. The clip's street has over 20 there."""


class Session(Protocol):
    """A CDP session with one page, Playwright's or our own."""

    async def send(self, method: str, params: dict[str, Any] | None = None) -> Any: ...
    def on(self, event: str, handler: Callable[[dict[str, Any]], Any]) -> Any: ...


@dataclass(frozen=True)
class Box:
    """Where something is on the page, in CSS pixels, which are the screen's here."""

    x: float
    y: float
    width: float
    height: float

    def cut(self, image: Image) -> Image:
        top, left = round(self.y), round(self.x)
        return image[top : top + round(self.height), left : left + round(self.width)]


@dataclass(frozen=True)
class Look:
    """The tile in one frame of the compositor."""

    at_s: float  # wall clock, when it was drawn
    tile: Image

    @property
    def number(self) -> int | None:
        return read_picture_number(self.tile)

    @property
    def is_covered(self) -> bool:
        """Whether nothing of a picture can be seen: no number, and neither sky nor street."""
        height, width = self.tile.shape[:2]
        inside = self.tile[:, width // 20 : -width // 20]  # not the page at its round corners
        sky = inside[round(height * 0.08) : round(height * 0.20)]
        street = inside[round(height * 0.80) : round(height * 0.95)]
        return self.number is None and all(
            float(part.std(axis=(0, 1)).max()) < FLAT for part in (sky, street)
        )


class Compositor:
    """The tile as people see it, frame after frame."""

    def __init__(self, session: Session, tile: Box) -> None:
        self._session = session
        self._tile = tile
        self._drawn = asyncio.Event()
        self._stopped = False
        self._acks: set[asyncio.Task[None]] = set()
        self.looks: list[Look] = []

    async def until(self, holds: Callable[[Look], bool], *, within_s: float = 10.0) -> Look:
        """The newest frame, as soon as it is like this."""
        async with asyncio.timeout(within_s):
            while not (self.looks and holds(self.looks[-1])):
                self._drawn.clear()
                try:
                    async with asyncio.timeout(QUIET_S):
                        await self._drawn.wait()
                except TimeoutError:
                    await self._session.send("Page.stopScreencast")
                    await self._begin()
        return self.looks[-1]

    async def until_picture(self, after: int = -1, *, within_s: float = 10.0) -> Look:
        """The first frame that shows a picture with a higher number than `after`."""
        return await self.until(
            lambda look: look.number is not None and look.number > after, within_s=within_s
        )

    async def until_covered(self, *, within_s: float = 10.0) -> Look:
        return await self.until(lambda look: look.is_covered, within_s=within_s)

    def since(self, look: Look) -> list[Look]:
        """What was drawn after it."""
        return [later for later in self.looks if later.at_s > look.at_s]

    async def start(self) -> None:
        self._session.on("Page.screencastFrame", self._take)
        await self._begin()

    async def _begin(self) -> None:
        """A screencast begins with what is on the screen now."""
        await self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 85})

    async def stop(self) -> None:
        self._stopped = True
        await self._session.send("Page.stopScreencast")
        await asyncio.gather(*self._acks)

    async def _acknowledge(self, frame: int) -> None:
        await self._session.send("Page.screencastFrameAck", {"sessionId": frame})

    def _take(self, frame: dict[str, Any]) -> None:
        if self._stopped:
            return
        ack = asyncio.create_task(self._acknowledge(frame["sessionId"]))
        self._acks.add(ack)
        ack.add_done_callback(self._acks.discard)
        coded = np.frombuffer(base64.b64decode(frame["data"]), dtype=np.uint8)
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert image is not None
        tile = self._tile.cut(image.astype(np.uint8, copy=False))
        # Chromium codes several at a time, and the later one may be ready first.
        insort(self.looks, Look(frame["metadata"]["timestamp"], tile), key=lambda look: look.at_s)
        self._drawn.set()


@asynccontextmanager
async def watching(session: Session, tile: Box) -> AsyncIterator[Compositor]:
    """Watch the tile while the block runs."""
    compositor = Compositor(session, tile)
    await compositor.start()
    try:
        yield compositor
    finally:
        await compositor.stop()
