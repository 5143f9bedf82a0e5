"""From the owner's call until the operator's tile is covered, as Chromium's compositor draws it."""

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import cv2
import numpy as np
from playwright.async_api import CDPSession, Page, async_playwright

from bench.figures import BenchError, Result, Target, rounded
from bench.servers import Box, Look, chromium
from bench.spread import percentile, span
from bench.systems import embedded
from bench.world import SCREEN_CAMERA, camera_in_words

WIDTH, HEIGHT = 1100, 800
QUIET_S: Final = 0.05
"""Chromium leaves out a frame while two are unacknowledged, also the last one for a long time. After this
long without one, the screencast is begun anew, which shows what is on the screen: the most an error may be."""
PICTURE_WITHIN_S: Final = 30.0
COVERED_WITHIN_S: Final = 10.0
WATCHED_S: Final = 1.5
"""And up to one keyframe interval more, by chance, so that stops fall anywhere between keyframes."""
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")

TARGETS: Final = {"p50_ms": Target("≤", 150)}


class Screencast:
    """The newest frame the compositor drew of the tile."""

    def __init__(self, session: CDPSession, tile: Box) -> None:
        self._session = session
        self._tile = tile
        self._newest: Look | None = None
        self._drawn = asyncio.Event()
        self._acknowledging: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._session.on("Page.screencastFrame", self._take)
        await self._begin()

    async def until(self, holds: Callable[[Look], bool], within_s: float, what: str) -> Look:
        """The first frame like this, as soon as it is seen.

        Raises:
            BenchError: there was none in time.
        """
        deadline_s = time.monotonic() + within_s
        while self._newest is None or not holds(self._newest):
            if time.monotonic() > deadline_s:
                raise BenchError(f"{what} was not on the screen within {within_s:g} s")
            self._drawn.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._drawn.wait()
            except TimeoutError:
                await self._session.send("Page.stopScreencast")
                await self._begin()
        return self._newest

    async def _begin(self) -> None:
        await self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 60})

    def _take(self, frame: dict[str, Any]) -> None:
        acknowledgement = self._session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})
        task = asyncio.ensure_future(acknowledgement)
        self._acknowledging.add(task)
        task.add_done_callback(self._acknowledging.discard)
        drawn_s = frame["metadata"]["timestamp"]
        # Chromium codes several at a time, and the later one may be ready first.
        if self._newest is None or drawn_s > self._newest.at_s:
            coded = np.frombuffer(base64.b64decode(frame["data"]), dtype=np.uint8)
            image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
            assert image is not None
            self._newest = Look(drawn_s, self._tile.cut(image.astype(np.uint8, copy=False)))
            self._drawn.set()


async def measure(trials: int) -> Result:
    """One sample per trial.

    Raises:
        BenchError: no Chromium, or a picture or the cover was not seen in time.
    """
    samples_ms = []
    async with embedded(SCREEN_CAMERA) as running, _page() as page:
        screencast: Screencast | None = None
        for trial in range(trials):
            opened = await running.world.open_grants(running.camera_id, count=1)
            url = await running.offer_page(opened)
            if screencast is None:
                await page.goto(url)
                screencast = await _watch(page)
            else:
                await page.get_by_role("button", name="Begin again").click()
            await screencast.until(_shows_a_picture, PICTURE_WITHIN_S, f"picture {trial}")
            await asyncio.sleep(WATCHED_S + random.random() * SCREEN_CAMERA.gop_s)
            called_ns = await running.world.withdraw(opened)
            called_s = time.time() - (time.monotonic_ns() - called_ns) / 1e9
            covered = await screencast.until(_is_covered, COVERED_WITHIN_S, "the cover")
            samples_ms.append(1000 * (covered.at_s - called_s))
    return Result(
        bench="screen",
        parameters={"trials": trials},
        figures={
            "p50_ms": rounded(percentile(samples_ms, 50)),
            "p99_ms": rounded(percentile(samples_ms, 99)),
        },
        measured=(
            "Owner's request sent until the first frame of Chromium's compositor in which nothing of a picture is "
            "left in the tile, by the time Chromium drew it (CDP screencast, headless, software drawing, "
            f"{WIDTH}x{HEIGHT}); a frame may be left out, which makes a sample up to {1000 * QUIET_S:g} ms and one "
            f"frame longer, never shorter; one box, one tile, camera {camera_in_words(SCREEN_CAMERA)}"
        ),
        spread=f"trials {span(samples_ms)} ms",
        targets=TARGETS,
        conditions={"samples_ms": [round(sample, 1) for sample in samples_ms]},
    )


def _shows_a_picture(look: Look) -> bool:
    return look.number is not None


def _is_covered(look: Look) -> bool:
    return look.is_covered


async def _watch(page: Page) -> Screencast:
    tile = await page.locator("#tile").bounding_box()
    assert tile is not None
    session = await page.context.new_cdp_session(page)
    screencast = Screencast(session, Box(tile["x"], tile["y"], tile["width"], tile["height"]))
    await screencast.start()
    return screencast


@asynccontextmanager
async def _page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        finally:
            await browser.close()
