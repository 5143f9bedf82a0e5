"""One demanded stream: run after run, until nobody may look."""

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from feedgate_ingest.access_unit import Epoch
from feedgate_ingest.board import Board
from feedgate_ingest.desired import Target
from feedgate_ingest.feed_state import FeedState, connecting, ended
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.outlet import Outlet
from feedgate_ingest.pauses import Attempts
from feedgate_ingest.ports import Camera, SourceVault
from feedgate_ingest.reasons import TREATMENTS, FeedError, Phase, Reason
from feedgate_ingest.run import Run, RunIdentity, RunReport
from feedgate_ingest.source import PoolKeys, Source, pin
from feedgate_kit.addresses import Network
from feedgate_kit.clock import Clock
from feedgate_kit.ids import new_run
from feedgate_kit.resolver import Resolver

ASK_AGAIN_S = 1.0
"""Between two questions to a registry that does not answer, while pictures flow."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class SessionTools:
    """What every session of a worker shares."""

    camera: Camera
    vault: SourceVault
    resolver: Resolver
    pool_keys: PoolKeys
    own_networks: Sequence[Network]
    new_outlet: Callable[[], Outlet]
    board: Board
    metrics: IngestMetrics
    clock: Clock
    generation: Callable[[], int]  # of the pool's consumer group, when a run begins
    pause: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class Session:
    """Keeps one stream connected."""

    def __init__(self, target: Target, attempts: Attempts, tools: SessionTools) -> None:
        self.target = target
        self._stream = str(target.stream)
        self._attempts = attempts
        self._tools = tools
        self._camera_changed = asyncio.Event()
        self._outlet: Outlet | None = None
        self._failure: FeedError | None = None
        self._is_over = False

    def update(self, target: Target) -> None:
        """The camera's record has a new version; maybe its source, too, is another one."""
        if target.camera_version != self.target.camera_version:
            self.target = target
            self._camera_changed.set()

    def hang_up(self) -> None:
        """From now on nothing is published; the connection follows when `keep` is cancelled."""
        self._is_over = True
        if self._outlet is not None:
            self._outlet.shut()

    async def keep(self) -> None:
        """Run after run, until cancelled."""
        while True:
            await self._until_due()
            self._camera_changed.clear()
            await self._attempt()

    async def _until_due(self) -> None:
        """Leave the camera alone as long as its last runs ask for, or until its owner changed something."""
        left_s = self._attempts.due_at_s - self._tools.clock.monotonic_s()
        if left_s <= 0:
            return
        await _first_to_end(self._tools.pause(left_s), self._until_camera_changes())
        if self._camera_changed.is_set():
            self._attempts.forget()

    async def _until_camera_changes(self) -> None:
        await self._camera_changed.wait()

    async def _attempt(self) -> None:
        tools = self._tools
        self._say(connecting(self._stream, tools.clock.now_us(), after=self._failure))
        run = self._new_run()
        try:
            await self._connect_and_play(run)
        except FeedError as error:
            failure = error
        except Exception:
            # Broad on purpose: whatever one camera provokes, this one tries again and others go on.
            logger.exception("a run failed", stream=self._stream)
            failure = FeedError(Reason.INTERNAL_ERROR)
        self._after(run, failure)

    async def _connect_and_play(self, run: Run) -> None:
        tools = self._tools
        camera_id = self.target.stream.camera_id
        source = tools.pool_keys.open(await tools.vault.fetch(camera_id))
        pinned = pin(source, await tools.resolver.addresses(source.url.host), tools.own_networks)
        await _first_to_end(tools.camera.play(pinned, run), self._until_source_changes(source))
        raise FeedError(Reason.DROPPED_BY_CAMERA)

    async def _until_source_changes(self, source: Source) -> None:
        """Raise once the owner has put another source in the place of `source`.

        The camera's record says that something changed, not what; only registry knows.
        """
        tools = self._tools
        while True:
            await self._camera_changed.wait()
            self._camera_changed.clear()
            try:
                present = tools.pool_keys.open(await tools.vault.fetch(self.target.stream.camera_id))
            except FeedError as error:
                if error.reason is not Reason.SOURCE_UNAVAILABLE:
                    raise
                self._camera_changed.set()
                await tools.pause(ASK_AGAIN_S)
                continue
            if present != source:
                raise FeedError(Reason.SOURCE_CHANGED)

    def _new_run(self) -> Run:
        tools, target = self._tools, self.target
        outlet = self._outlet = tools.new_outlet()
        identity = RunIdentity(
            stream=self._stream,
            epoch=Epoch(target.pool_version, tools.generation()),
            run=new_run(),
            mask_version=target.mask_version,
        )
        return Run(
            identity,
            tools.clock,
            publish=outlet.publish,
            report=partial(self._say_live, identity.run),
            skipped=tools.metrics.access_units_dropped.labels("before_keyframe").inc,
        )

    def _say_live(self, run: bytes, report: RunReport) -> None:
        self._say(
            FeedState(
                self._stream,
                Phase.LIVE,
                self._tools.clock.now_us(),
                run=_text(run),
                format=report.format,
                quality=report.quality,
            )
        )

    def _after(self, run: Run, failure: FeedError) -> None:
        tools = self._tools
        self._failure = failure
        now_s = tools.clock.monotonic_s()
        lived_s = 0.0 if run.began_at_s is None else now_s - run.began_at_s
        pace = TREATMENTS[failure.reason].pace
        self._attempts.ended(pace, lived_s=lived_s, now_s=now_s, draw=tools.draw())
        tools.metrics.runs_ended.labels(failure.reason).inc()
        logger.info(
            "run ended",
            stream=self._stream,
            reason=str(failure.reason),
            lived_s=round(lived_s, 1),
            again_in_s=round(max(0.0, self._attempts.due_at_s - now_s), 1),
        )
        self._say(ended(self._stream, failure, tools.clock.now_us(), run=_text(run.identity.run)))

    def _say(self, state: FeedState) -> None:
        # Once hung up, the worker says why; no late word must come after that.
        if not self._is_over:
            self._tools.board.say(state)


async def _first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, end the others, and raise what that one raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    done: set[asyncio.Task[None]] = set()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


def _text(run: bytes) -> str:
    return str(uuid.UUID(bytes=run))
