"""Serving: both ports in one event loop, from bound sockets to the last connection closed."""

import asyncio
import gc
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from feedgate_kit.dangers import refuse_dangers
from feedgate_kit.errors import FeedgateError
from feedgate_kit.http_protocol import HttpProtocol
from feedgate_kit.listening import Address, Listen, address_of, open_listener
from feedgate_kit.metrics import EVENT_LOOP, show_certificates
from feedgate_kit.redaction import redact_text
from feedgate_kit.service import Lifespan, MakeSocket, Service, WebSocketProtocol
from feedgate_kit.settings import ServiceSettings, load_settings
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.trust import FollowedContext, ServerCertificate

S = TypeVar("S", bound=ServiceSettings)

MAXIMUM_WEBSOCKET_MESSAGE_BYTES: Final = 64 * 1024
"""From a client; ours to it may be of any size."""

GARBAGE_AT_START: Final = (20_000, 10, 10)
"""How many objects, and how many rounds over younger ones, before garbage is looked for (`gc.set_threshold`): with
Python's 700 a start that reads 100,000 records spends half of it on garbage, and what a copy keeps is none."""
GARBAGE_WHEN_READY: Final = (2_000, 10, 3)
"""A view that ended leaves buffers in cycles; at the start's pace the oldest were looked at once in half an hour."""
READY_LOOK_S: Final = 0.5

logger = structlog.get_logger(__name__)


class Servable(Protocol):
    """A service, or several as one."""

    @property
    def name(self) -> str: ...
    @property
    def public_app(self) -> ASGIApp: ...
    @property
    def internal_app(self) -> ASGIApp: ...
    @property
    def lifespan(self) -> Lifespan: ...
    @property
    def on_stopping(self) -> Callable[[], None]: ...
    @property
    def until_unfit(self) -> Callable[[], Coroutine[Any, Any, None]]: ...
    @property
    def ws_protocol(self) -> WebSocketProtocol: ...
    @property
    def make_socket(self) -> MakeSocket: ...


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where both faces of a running service are."""

    public: Address
    internal: Address


@asynccontextmanager
async def running(
    service: Servable,
    public: Listen,
    internal: Listen,
    *,
    shutdown_s: float = 5.0,
    internal_tls: ServerCertificate | None = None,
) -> AsyncIterator[Addresses]:
    """Serve while the block runs.

    The sockets are bound first, then the lifespan is entered, then requests
    are answered; the end goes the other way round.

    Args:
        service: what to serve.
        public: where its public app listens.
        internal: where `/metrics` and `/internal` listen.
        shutdown_s: how long connections may take to end by themselves.
        internal_tls: what the internal port proves itself with; without it, plain http.

    Raises:
        ListenError: a port is taken; nothing was started.
    """
    with ExitStack() as sockets:
        public_socket = sockets.enter_context(service.make_socket(public))
        internal_socket = sockets.enter_context(open_listener(internal))
        addresses = Addresses(address_of(public_socket), address_of(internal_socket))
        async with service.lifespan(), _beside(EVENT_LOOP.run(), "event loop delay"):
            servers = [
                Server(service.public_app, service.ws_protocol, shutdown_s),
                Server(service.internal_app, "none", shutdown_s, internal_tls),
            ]
            async with serving(servers, [public_socket, internal_socket]):
                logger.info(
                    "serving",
                    service=service.name,
                    public=addresses.public.origin,
                    internal=addresses.internal.origin,
                )
                try:
                    yield addresses
                finally:
                    logger.info("stopping", service=service.name)
                    service.on_stopping()


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Work that goes on, at most, as long as the block runs."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def serve(
    service: Servable,
    public: Listen,
    internal: Listen,
    *,
    shutdown_s: float = 5.0,
    internal_tls: ServerCertificate | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, which also end a start under way; see `running`.

    Raises:
        FeedgateError: the service must not go on; it was ended as by a signal.
    """
    with stop_signals() as stopped:
        started = asyncio.Event()
        unfit = asyncio.create_task(service.until_unfit(), name=f"{service.name} fit")

        async def live() -> None:
            async with running(service, public, internal, shutdown_s=shutdown_s, internal_tls=internal_tls):
                started.set()
                ended = asyncio.create_task(stopped())
                await asyncio.wait({ended, unfit}, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()

        life = asyncio.create_task(live(), name=f"life of {service.name}")
        signalled = asyncio.create_task(stopped(), name="stop signals")
        try:
            await asyncio.wait({life, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if started.is_set():
                await life  # ends by itself: lifespans see an ordinary end, no cancellation
            if unfit.done():
                await unfit
        finally:
            unfit.cancel()
            signalled.cancel()
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life


def run(kind: type[S], build: Callable[[S], Service]) -> int:
    """The whole life of a service's process, for its `__main__`.

    What the operator can put right (a setting, a taken port, an unusable file) is
    one line on standard error, and the status is 2. What nobody expected is in the
    log, and the status is 1.

    Args:
        kind: the service's settings.
        build: makes the service inside the event loop.

    Returns:
        The process's exit status.
    """
    try:
        gc.freeze()  # modules live as long as the process: no collection need look at them
        gc.set_threshold(*GARBAGE_AT_START)
        settings = load_settings(kind)
        refuse_dangers(settings)
        configure_logging(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_built(settings, build))
    except FeedgateError as error:
        sys.stderr.write(f"{redact_text(str(error))}\n")
        return 2
    except Exception:
        # Not left to Python, whose traceback would show what the log leaves out.
        logger.exception("service failed")
        return 1
    return 0


async def _serve_built(settings: S, build: Callable[[S], Service]) -> None:
    service = build(settings)
    show_certificates(service.registry, settings.certificate_files())
    async with _beside(_collect_when_ready(service.readiness.waiting_for), "garbage"):
        await serve(
            service,
            settings.public_listen,
            settings.internal_listen,
            shutdown_s=settings.shutdown_s,
            internal_tls=settings.load_internal_tls(),
        )


async def _collect_when_ready(waiting_for: Callable[[], list[str]]) -> None:
    """Once the service is ready, look for garbage more often, and never again among what is alive then."""
    while waiting_for():  # noqa: ASYNC110 - conditions are asked, they tell nobody
        await asyncio.sleep(READY_LOOK_S)
    gc.collect()
    gc.freeze()
    gc.collect()  # Python looks at the oldest when a quarter as many are new as this found: let that be few
    gc.set_threshold(*GARBAGE_WHEN_READY)


@contextmanager
def stop_signals() -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Turn SIGTERM and SIGINT into the end of the wait this gives; a second one is as before."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        stopped.set()
        restore()

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    async def wait() -> None:
        await stopped.wait()

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        yield wait
    finally:
        restore()


class Server(uvicorn.Server):
    """uvicorn without its hands on signals and lifespans, and with a moment at which it has started."""

    def __init__(
        self,
        app: ASGIApp,
        ws_protocol: WebSocketProtocol,
        shutdown_s: float,
        tls: ServerCertificate | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws=ws_protocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws_max_size=MAXIMUM_WEBSOCKET_MESSAGE_BYTES,
                ws_per_message_deflate=False,  # video does not shrink, and a window per viewer is memory
                timeout_graceful_shutdown=max(1, round(shutdown_s)),
                ssl_certfile=None if tls is None else tls.certificate_file,
                ssl_keyfile=None if tls is None else tls.key_file,
                ssl_context_factory=None if tls is None else partial(_following, tls),
            )
        )
        self.accepting = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to `stop_signals`: two servers would take them from each other."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.accepting.set()


def _following(
    tls: ServerCertificate, _: uvicorn.Config, make: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    return FollowedContext(ssl.PROTOCOL_TLS_SERVER, make, [tls.certificate_file, tls.key_file])


@asynccontextmanager
async def serving(servers: Sequence[Server], listeners: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Run each server on its listener while the block runs; then let its connections end."""
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    try:
        for server, task in zip(servers, tasks, strict=True):
            accepting = asyncio.create_task(server.accepting.wait())
            await asyncio.wait({accepting, task}, return_when=asyncio.FIRST_COMPLETED)
            accepting.cancel()
            if task.done():
                await task
        yield
    finally:
        for server in servers:
            server.should_exit = True
        # Cancelled itself, this would leave connections open in a closed service.
        await asyncio.shield(asyncio.gather(*tasks))
