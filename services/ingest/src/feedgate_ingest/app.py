"""Ingest, put together."""

import asyncio
import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial

import httpx
import structlog
from prometheus_client import CollectorRegistry

from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_ingest.adapters.beating import beating
from feedgate_ingest.adapters.pyav_camera import PyAvCamera, PyAvTimeouts
from feedgate_ingest.adapters.registry_vault import RegistryVault
from feedgate_ingest.adapters.wire import decode_demand, state_record, state_version, taken_back, unit_record
from feedgate_ingest.arrival import Pulse
from feedgate_ingest.board import Board
from feedgate_ingest.demand import DEMAND_LASTS_S
from feedgate_ingest.erasure import Erasures
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.outlet import Outlet
from feedgate_ingest.ports import IngestPorts
from feedgate_ingest.session import Session, SessionTools
from feedgate_ingest.settings import IngestSettings
from feedgate_ingest.worker import Worker
from feedgate_kit.bus.events import handle_events
from feedgate_kit.bus.ports import Bus, Tenure
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import SERVICES_PAGE, BusError, OperatorError
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.resolver import SystemResolver
from feedgate_kit.service import Readiness, Service, create_internal_app, create_public_app
from feedgate_kit.state_copy import StateCopy, follow_state, protobuf_decoder
from feedgate_kit.supervise import background
from feedgate_kit.tokens import TokenSource
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, DEMAND_EVENTS, FEED_STATE, dead_letters

NAME = "ingest"
LAST_WORDS_S = 2.0
REPEATED_WITHIN_S = 2.0
"""Relays repeat their demand so often: of what is demanded, a worker has said something of its own by then."""

logger = structlog.get_logger(__name__)


class WorkerIdTakenError(OperatorError):
    """Another worker of the pool has come under this one's name."""

    page = SERVICES_PAGE

    def __init__(self, setting: str, worker_id: str) -> None:
        super().__init__(
            f"{setting}: another worker has joined as `{worker_id}`, and has this one's cameras; allowed: a name of its"
            " own for each worker"
        )


def create_app(settings: IngestSettings, ports: IngestPorts) -> Service:
    """The service; nothing runs before its lifespan is entered. It has no API beyond health and metrics."""
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    bus, clock = ports.bus, ports.clock
    skew_us = round(settings.skew_s * MICROSECONDS)
    camera_states = bus.state_log(CAMERA_STATE)
    demands, demands_set_aside = bus.event_log(DEMAND_EVENTS), bus.event_log(dead_letters(DEMAND_EVENTS))
    board = Board(
        bus.state_log(FEED_STATE),
        partial(state_record, worker_id=settings.worker_id, clock=clock),
        clock,
        metrics,
    )
    pictures = bus.media_feed(ACCESS_UNITS)
    erasures = Erasures(pictures, clock, metrics, skew_s=settings.skew_s)
    tools = SessionTools(
        camera=ports.camera,
        vault=ports.vault,
        resolver=ports.resolver,
        pool_keys=ports.pool_keys,
        own_networks=settings.load_own_networks(),
        new_outlet=partial(Outlet, pictures, unit_record, metrics),
        board=board,
        metrics=metrics,
        clock=clock,
        generation=lambda: worker.share.generation,
    )
    worker = Worker(
        pool=settings.pool,
        cameras=_empty_copy(clock),
        new_session=lambda target, attempts: Session(target, attempts, tools),
        erase=erasures.ask,
        board=board,
        clock=clock,
        skew_us=skew_us,
    )
    metrics.observe_camera_state(
        lambda: _age_s(worker.cameras), lambda: _offset_s(worker.cameras), lambda: worker.cameras.unreadable
    )

    async def follow_cameras() -> None:
        # Until the new copy has read all there is, the old one counts for as long as it is fresh.
        copy = _empty_copy(clock)

        def on_change(_: Collection[str]) -> None:
            worker.cameras = copy
            worker.nudge()

        await follow_state(camera_states, copy, on_change)

    async def follow_demand() -> None:
        if worker.was_replaced.is_set():
            return  # the name is another's; this process is about to end
        await handle_events(
            demands,
            f"ingest-{settings.pool}",
            decode_demand,
            worker.take_demand,
            demands_set_aside,
            clock,
            topic=DEMAND_EVENTS,
            tenure=Tenure(worker, DEMAND_LASTS_S),
            on_dead_letter=metrics.dead_letters.inc,
        )

    async def take_back() -> None:
        # What a worker that died said of a stream stands until the next one that has it says otherwise.
        while True:
            await worker.was_given.wait()
            worker.was_given.clear()
            await asyncio.sleep(REPEATED_WITHIN_S)
            while not worker.cameras.is_fresh(skew_us=skew_us):  # noqa: ASYNC110 - freshness is asked, never told
                await asyncio.sleep(REPEATED_WITHIN_S)
            try:
                await board.recall(partial(taken_back, is_ours=worker.owns, clock=clock), state_version)
            except BusError:
                worker.was_given.set()
                raise

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        tasks = {
            "follow cameras": follow_cameras,
            "follow demand": follow_demand,
            "tell feed states": board.run,
            "take back feed states": take_back,
            "erase stopped streams": erasures.run,
        }
        with beating(ports.pulse):
            # The worker ends first: cameras are hung up before their group is left.
            last_to_end = background(tasks, clock)
            async with last_to_end, background({"keep streams connected": worker.run}, clock):
                yield
            await _send_last_words(board)

    verifier = TokenVerifier([], clock)  # nobody logs in here
    return Service(
        name=NAME,
        public=create_public_app(NAME, verifier),
        internal=create_internal_app(NAME, verifier),
        registry=registry,
        lifespan=lifespan,
        readiness=Readiness({"the owners' will, fresh": lambda: worker.cameras.is_fresh(skew_us=skew_us)}),
        until_unfit=partial(_until_replaced, worker, settings),
    )


def system_ports(
    settings: IngestSettings,
    bus: Bus,
    clock: Clock,
    token: TokenSource,
    registry_transport: httpx.AsyncBaseTransport | None = None,
) -> IngestPorts:
    """The real world: cameras through PyAV, names through the system, sources from registry.

    Args:
        settings: of this service.
        bus: opened and closed by its owner.
        clock: the host's.
        token: this service's own access tokens, with role `ingest`.
        registry_transport: how to reach registry, where not over the network.
    """
    pulse = Pulse(clock)
    pool_keys = settings.load_pool_keys()
    timeouts = PyAvTimeouts(
        describe_s=settings.describe_timeout_s,
        open_s=settings.open_timeout_s,
        read_s=settings.read_timeout_s,
    )
    return IngestPorts(
        bus=bus,
        camera=PyAvCamera(clock, pulse, timeouts),
        vault=RegistryVault(
            settings.registry_url,
            token,
            pool=settings.pool,
            key_ids=list(pool_keys.private_keys),
            trust=settings.load_trust(),
            transport=registry_transport,
        ),
        resolver=SystemResolver(),
        pool_keys=pool_keys,
        pulse=pulse,
        clock=clock,
    )


async def _send_last_words(board: Board) -> None:
    try:
        async with asyncio.timeout(LAST_WORDS_S):
            await board.send()
    except (BusError, TimeoutError):
        logger.warning("last feed states not sent; the next start takes them back")


def _empty_copy(clock: Clock) -> StateCopy[CameraState]:
    return StateCopy(protobuf_decoder(CameraState), clock)


def _age_s(cameras: StateCopy[CameraState]) -> float:
    age_us = cameras.age_us()
    return math.inf if age_us is None else age_us / MICROSECONDS


def _offset_s(cameras: StateCopy[CameraState]) -> float:
    return math.nan if cameras.offset_us is None else cameras.offset_us / MICROSECONDS


async def _until_replaced(worker: Worker, settings: IngestSettings) -> None:
    await worker.was_replaced.wait()
    raise WorkerIdTakenError(settings.setting_name("worker_id"), settings.worker_id)
