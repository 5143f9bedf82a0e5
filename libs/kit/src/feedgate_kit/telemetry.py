"""What a service tells its operators: JSON log lines, and one line and one measurement per request."""

import json
import linecache
import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from structlog.typing import ExcInfo

from feedgate_kit.ids import new_id
from feedgate_kit.metrics import HttpMetrics
from feedgate_kit.problems import Problem, unexpected
from feedgate_kit.redaction import redact_event

QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines; logged at debug."""
MAXIMUM_PATH_CHARS: Final = 200

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# What these say at INFO repeats our own lines, and uvicorn's WebSocket lines hold the query string.
_LOUD_LIBRARIES: Final = (
    "aiokafka",
    "alembic",
    "asyncio",
    "httpcore",
    "httpx",
    "sqlalchemy",
    "uvicorn",
    "websockets",
)

logger = structlog.get_logger(__name__)


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process, libraries' too, as one JSON object to `stream`.

    Args:
        level: of our own lines; libraries speak from WARNING on.
        stream: standard error by default.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = RedactingHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.ExceptionRenderer(_traceback),
                redact_event,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _LOUD_LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _traceback(exc_info: ExcInfo) -> str:
    """As Python writes it, without the files it read for it: it keeps 2 MiB for one that leads through SQLAlchemy."""
    written = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    linecache.clearcache()
    return written


@contextmanager
def about_grant(grant_id: str) -> Iterator[None]:
    """Every log line inside names the grant."""
    with structlog.contextvars.bound_contextvars(grant_id=grant_id):
        yield


class RedactingHandler(logging.StreamHandler[TextIO]):
    """Writes formatted lines, and of a line that cannot be formatted only whose it was."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        # logging itself would print the message and its arguments as they are, passwords included.
        with suppress(OSError, ValueError):
            self.stream.write(
                json.dumps(
                    {"event": "log line could not be written", "level": "error", "logger": record.name}
                )
                + self.terminator
            )


class RequestTelemetry:
    """ASGI middleware: the request's id, its log line, its measurement, and an answer if all else failed.

    Pure ASGI, because Starlette's HTTP middleware does not see WebSockets. The
    query string is neither logged nor measured.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "http":
                await self._http(scope, receive, send, request_id)
            else:
                await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        began_s = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            refusal = _unreadable_target(scope)
            if refusal is not None:
                await refusal.response()(scope, receive, send_with_id)
            else:
                await self.app(scope, receive, send_with_id)
        except Exception:
            # The last place before the server: foreign code below may raise anything.
            logger.exception("request failed")
            if status:
                raise  # the answer has begun; only cutting the connection says that it is not whole
            await unexpected().response()(scope, receive, send_with_id)
        finally:
            duration_s = time.perf_counter() - began_s
            route = _route(scope)
            self._metrics.answered(scope["method"], route, status or 499, duration_s)
            (logger.debug if route in QUIET_ROUTES else logger.info)(
                "request",
                method=scope["method"],
                route=route,
                path=scope["path"][:MAXIMUM_PATH_CHARS],
                status=status or 499,  # the client went away before an answer began
                duration_ms=round(duration_s * 1000, 1),
            )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        accepted_as: str | None = None
        code = 1006  # closed without a close frame (RFC 6455 §7.4.1)

        async def watched_receive() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect" and code == 1006:
                code = message.get("code") or 1006
            return message

        async def watched_send(message: Message) -> None:
            nonlocal accepted_as, code
            if message["type"] == "websocket.accept":
                accepted_as = _route(scope)
                self._metrics.opened(accepted_as)
            elif message["type"] == "websocket.http.response.start":
                code = message["status"]  # refused before it was one
            elif message["type"] == "websocket.close":
                code = message.get("code") or 1000
            await send(message)

        try:
            await self.app(scope, watched_receive, watched_send)
        except WebSocketDisconnect:
            pass  # the client left while the route was reading or writing: its ordinary end
        except Exception:
            logger.exception("websocket failed")  # as above
            with suppress(Exception):  # closed before
                await watched_send({"type": "websocket.close", "code": 1011})
            code = 1011
        finally:
            if accepted_as is not None:
                self._metrics.closed(accepted_as, code)
            logger.info(
                "websocket",
                route=_route(scope),
                path=scope["path"][:MAXIMUM_PATH_CHARS],
                accepted=accepted_as is not None,
                code=code,
                duration_ms=round((time.perf_counter() - began_s) * 1000, 1),
            )


def _request_id(scope: Scope) -> str:
    """The caller's, if it is one a log can hold, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            text: str = value.decode("ascii")
            return text
    return new_id()


def _route(scope: Scope) -> str:
    """The template of the route that answered; one word for all that matched none."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"


def _unreadable_target(scope: Scope) -> Problem | None:
    """A refusal of paths and queries that hold NUL, which no database takes."""
    query = scope.get("query_string", b"")
    if "\0" in scope["path"] or b"\0" in query or b"%00" in query:
        return Problem(422, "invalid-request", detail="the address holds the control character U+0000")
    return None
