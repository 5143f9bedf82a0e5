"""Several services in one process behind one origin."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from feedgate_kit.errors import FeedgateError
from feedgate_kit.listening import open_listener
from feedgate_kit.metrics import HttpMetrics
from feedgate_kit.problems import install_problem_handlers
from feedgate_kit.service import (
    DEFAULT_WS_PROTOCOL,
    Lifespan,
    MakeSocket,
    Service,
    WebSocketProtocol,
    health_routes,
    metrics_route,
    wait_for_ever,
)
from feedgate_kit.telemetry import RequestTelemetry

T = TypeVar("T")


class CompositionError(FeedgateError):
    """Services that cannot share one process."""


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Several services that are served like one."""

    name: str
    public_app: ASGIApp
    internal_app: ASGIApp
    lifespan: Lifespan
    on_stopping: Callable[[], None]
    ws_protocol: WebSocketProtocol
    make_socket: MakeSocket
    registry: CollectorRegistry
    """What is measured of the whole."""
    services: tuple[Service, ...]

    @staticmethod
    async def until_unfit() -> None:
        """Parts of one process cannot be unfit for one another."""
        await wait_for_ever()

    def waiting_for(self) -> list[str]:
        """What each service waits for, as `registry: database`."""
        return [f"{part.name}: {unmet}" for part in self.services for unmet in part.readiness.waiting_for()]


def compose(
    name: str, services: Sequence[Service], extra: Mapping[str, ASGIApp] | None = None
) -> Composition:
    """One public and one internal app over all `services`.

    Public requests go to the service their first path segment names, internal
    ones to the service that has the route. Readiness, metrics, start and stop
    are those of all.

    Args:
        name: of the composition, in its metrics.
        services: started in this order, stopped in the reverse one.
        extra: further public apps by first path segment, e.g. a page. They run no lifespan.

    Raises:
        CompositionError: two parts have one name, or two ask for different sockets.
    """
    segments = [*(service.name for service in services), *(extra or {})]
    if len({name, *segments}) != len(segments) + 1:
        raise CompositionError(f"parts of `{name}` have the same name: {', '.join(sorted(segments))}")
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    public, internal = _own_app(name, metrics), _own_app(name, metrics)
    composition = Composition(
        name=name,
        public_app=FirstSegment({**{part.name: part.public for part in services}, **(extra or {})}, public),
        internal_app=FirstMatch([internal, *(part.internal for part in services)]),
        lifespan=_lifespans(services),
        on_stopping=_all_stopping(services),
        ws_protocol=_only_one("ws_protocol", [part.ws_protocol for part in services], DEFAULT_WS_PROTOCOL),
        make_socket=_only_one("make_socket", [part.make_socket for part in services], open_listener),
        registry=registry,
        services=tuple(services),
    )
    for app in (public, internal):
        app.include_router(health_routes(composition.waiting_for))
    internal.include_router(
        metrics_route({name: registry, **{part.name: part.registry for part in services}})
    )
    return composition


class FirstSegment:
    """Dispatches by the first segment of the path, which stays in the path."""

    def __init__(self, apps: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._apps = dict(apps)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        segment = scope.get("path", "").removeprefix("/").partition("/")[0]
        await self._apps.get(segment, self._otherwise)(scope, receive, send)


class FirstMatch:
    """Dispatches to the first app that has the route; the first app of all answers where none has."""

    def __init__(self, apps: Sequence[FastAPI]) -> None:
        self._apps = tuple(apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._choose(scope)(scope, receive, send)

    def _choose(self, scope: Scope) -> FastAPI:
        other_method: FastAPI | None = None
        if scope["type"] in {"http", "websocket"}:
            for app in self._apps:
                matches = {route.matches(scope)[0] for route in app.routes}
                if Match.FULL in matches:
                    return app
                if Match.PARTIAL in matches and other_method is None:
                    other_method = app
        return other_method or self._apps[0]


def _own_app(name: str, metrics: HttpMetrics) -> FastAPI:
    app = FastAPI(title=name, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_problem_handlers(app)
    app.add_middleware(RequestTelemetry, metrics=metrics)
    return app


def _lifespans(services: Sequence[Service]) -> Lifespan:
    @asynccontextmanager
    async def entered() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in services:
                await stack.enter_async_context(service.lifespan())
            yield

    return entered


def _all_stopping(services: Sequence[Service]) -> Callable[[], None]:
    def on_stopping() -> None:
        for service in services:
            service.on_stopping()

    return on_stopping


def _only_one(name: str, wishes: Sequence[T], usual: T) -> T:
    unusual = [wish for wish in wishes if wish != usual]
    if any(wish != unusual[0] for wish in unusual):
        raise CompositionError(f"two services ask for a different `{name}`, and there is one public socket")
    return unusual[0] if unusual else usual
