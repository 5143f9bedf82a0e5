"""Ingest, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import structlog
from prometheus_client import CollectorRegistry

from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_ingest.adapters.beating import beating
from feedgate_ingest.adapters.pyav_camera import PyAvCamera, PyAvTimeouts
from feedgate_ingest.adapters.registry_vault import RegistryVault
from feedgate_ingest.adapters.system_resolver import SystemResolver
from feedgate_ingest.adapters.wire import decode_demand, recall_state, state_record, state_version, unit_record
from feedgate_ingest.arrival import Pulse
from feedgate_ingest.board import Board
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.outlet import Outlet
from feedgate_ingest.ports import IngestPorts
from feedgate_ingest.session import Session, SessionTools
from feedgate_ingest.settings import IngestSettings
from feedgate_ingest.worker import Worker
from feedgate_kit.bus.events import handle_events
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import BusError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.state_copy import StateCopy, follow_state, protobuf_decoder
from feedgate_kit.supervise import background
from feedgate_kit.tokens import TokenSource
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE, dead_letters

NAME = "ingest"
GENERATION = 1
"""Of the pool's consumer group: a pool has one worker, so only the camera's record tells epochs apart."""
LAST_WORDS_S = 2.0

logger = structlog.get_logger(__name__)


def create_app(settings: IngestSettings, ports: IngestPorts) -> Service:
    """The service; nothing runs before its lifespan is entered. It has no API beyond health and metrics."""
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    bus, clock = ports.bus, ports.clock
    verifier = TokenVerifier([], clock)
    cameras: StateCopy[CameraState] = StateCopy(protobuf_decoder(CameraState), clock)
    skew_us = round(settings.skew_s * MICROSECONDS)
    metrics.observe_camera_state(lambda: _age_s(cameras), lambda: cameras.unreadable)

    def is_fresh() -> bool:
        return cameras.is_fresh(skew_us=skew_us)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        nonlocal cameras
        board = Board(
            bus.state_log(FEED_STATE),
            partial(state_record, worker_id=settings.worker_id, clock=clock),
            clock,
            metrics,
        )
        tools = SessionTools(
            camera=ports.camera,
            vault=ports.vault,
            resolver=ports.resolver,
            pool_key=ports.pool_key,
            own_networks=settings.load_own_networks(),
            outlet=Outlet(bus.media_feed(ACCESS_UNITS), unit_record, metrics),
            board=board,
            metrics=metrics,
            clock=clock,
            generation=GENERATION,
        )
        worker = Worker(
            pool=settings.pool,
            cameras=cameras,
            new_session=lambda target, attempts: Session(target, attempts, tools),
            board=board,
            clock=clock,
            skew_us=skew_us,
        )

        async def follow_cameras() -> None:
            await follow_state(bus.state_log(CAMERA_STATE), cameras, lambda _: worker.nudge())

        async def follow_demand() -> None:
            await handle_events(
                bus.event_log(DEMAND_EVENTS),
                f"ingest-{settings.pool}",
                decode_demand,
                worker.take_demand,
                bus.event_log(dead_letters(DEMAND_EVENTS)),
                clock,
                topic=DEMAND_EVENTS,
            )

        async def tell() -> None:
            await board.recall(partial(recall_state, worker_id=settings.worker_id, clock=clock), state_version)
            await board.run()
