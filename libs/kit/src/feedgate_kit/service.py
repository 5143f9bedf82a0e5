"""One service: its two faces, its life, and what it waits for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.types import ASGIApp

from feedgate_kit.body_limit import BodyLimit
from feedgate_kit.identity.verifier import TokenVerifier
from feedgate_kit.listening import Listen, open_listener
from feedgate_kit.metrics import HttpMetrics, exposition
from feedgate_kit.problems import PROBLEM_RESPONSES, ErrorTable, install_problem_handlers
from feedgate_kit.telemetry import RequestTelemetry

MAXIMUM_BODY_BYTES: Final = 64 * 1024

Lifespan = Callable[[], AbstractAsyncContextManager[None]]
MakeSocket = Callable[[Listen], socket.socket]
WebSocketProtocol = str | type[Any]
"""One of uvicorn's names, or a subclass of one of its WebSocket protocol classes."""
DEFAULT_WS_PROTOCOL: Final[WebSocketProtocol] = "websockets-sansio"


class Readiness:
    """Named conditions that must hold before a service is of use."""

    def __init__(self, conditions: Mapping[str, Callable[[], bool]] | None = None) -> None:
        """Each is asked anew every time, so it may stop holding."""
        self._conditions = dict(conditions or {})

    def add(self, name: str, holds: Callable[[], bool]) -> None:
        """One more condition."""
        self._conditions[name] = holds

    def waiting_for(self) -> list[str]:
        """The names of the conditions that do not hold now, in the order they were added."""
        return [name for name, holds in self._conditions.items() if not holds()]


async def wait_for_ever() -> None:
    """Of a service that is fit as long as it runs."""
    await asyncio.Event().wait()


@asynccontextmanager
async def no_lifespan() -> AsyncIterator[None]:
    """Of a service that keeps nothing open."""
    yield


@dataclass(kw_only=True)
class Service:
    """A service that can be served alone or composed with others.

    Making one gives both apps `/healthz` and `/readyz`, the internal one
    `/metrics`, and both the request telemetry. Mounted apps run no lifespan,
    so `lifespan` is entered by whoever serves, once.
    """

    name: str  # the first segment of every public path
    public: FastAPI
    internal: FastAPI
    registry: CollectorRegistry
    lifespan: Lifespan = no_lifespan
    readiness: Readiness = field(default_factory=Readiness)
    on_stopping: Callable[[], None] = lambda: None
    """Called once when the process was asked to stop, before its connections are closed."""
    until_unfit: Callable[[], Coroutine[Any, Any, None]] = wait_for_ever
    """Waits while the service runs; raises a `FeedgateError` when it must not go on, which ends the process."""
    ws_protocol: WebSocketProtocol = DEFAULT_WS_PROTOCOL
    close_codes: Collection[int] = ()
    """WebSocket close codes of its own, counted each by itself."""
    make_socket: MakeSocket = open_listener
    """Opens the public listening socket."""

    def __post_init__(self) -> None:
        for app in (self.public, self.internal):
            app.include_router(health_routes(self.readiness.waiting_for))
        self.internal.include_router(metrics_route({self.name: self.registry}))
        metrics = HttpMetrics(self.registry, self.close_codes)
        for app in (self.public, self.internal):
            app.add_middleware(RequestTelemetry, metrics=metrics)

    @property
    def public_app(self) -> ASGIApp:
        return self.public

    @property
    def internal_app(self) -> ASGIApp:
        return self.internal


def create_public_app(
    name: str,
    verifier: TokenVerifier,
    errors: ErrorTable | None = None,
    *,
    max_body_bytes: int = MAXIMUM_BODY_BYTES,
) -> FastAPI:
    """An empty app for public routes: problem details, body limit, and the verifier its routes ask.

    Args:
        name: the service's; its API description is at `/<name>/v1/openapi.json`.
        verifier: found by routes at `app.state.verifier`.
        errors: the service's expected errors, see `install_problem_handlers`.
        max_body_bytes: a longer body is 413.
    """
    return _app(name, f"/{name}/v1/openapi.json", verifier, errors, max_body_bytes)


def create_internal_app(
    name: str,
    verifier: TokenVerifier,
    errors: ErrorTable | None = None,
    *,
    max_body_bytes: int = MAXIMUM_BODY_BYTES,
) -> FastAPI:
    """The same for the internal port, without an API description."""
    return _app(name, None, verifier, errors, max_body_bytes)


def _app(
    name: str,
    openapi_url: str | None,
    verifier: TokenVerifier,
    errors: ErrorTable | None,
    max_body_bytes: int,
) -> FastAPI:
    app = FastAPI(
        title=f"Feedgate {name}",
        openapi_url=openapi_url,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=PROBLEM_RESPONSES,
    )
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes)
    app.state.verifier = verifier
    install_problem_handlers(app, errors)
    return app


def health_routes(waiting_for: Callable[[], list[str]]) -> APIRouter:
    """`/healthz`: the process answers. `/readyz`: it is of use, or what it waits for."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        unmet = waiting_for()
        if unmet:
            return JSONResponse({"ready": False, "waiting_for": unmet}, status_code=503)
        return JSONResponse({"ready": True})

    return router


def metrics_route(registries: Mapping[str, CollectorRegistry]) -> APIRouter:
    """`/metrics` of the given services."""
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(registries), media_type=CONTENT_TYPE_LATEST)

    return router
