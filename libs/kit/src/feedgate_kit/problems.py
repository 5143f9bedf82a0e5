"""Errors as callers see them: problem details (RFC 9457), every one with a stable type."""

from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from feedgate_kit.errors import FeedgateError
from feedgate_kit.wrong_values import text_seen, wrong_values

MEDIA_TYPE: Final = "application/problem+json"
MAXIMUM_ERRORS: Final = 20
_OWN_CODES: Final = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "media-type-unsupported",
    422: "invalid-request",
}

_TAKES_NOTHING: Final = ("53", "57", "58", "25006")
"""PostgreSQL has no room, was told to end something, cannot read or write, is a standby (PostgreSQL, Appendix A)."""

logger = structlog.get_logger(__name__)


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is a refusal; raised anywhere below a route."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str | None = None,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """Say what went wrong.

        Args:
            status: HTTP status.
            code: stable, hyphenated; `type` becomes `urn:feedgate:problem:<code>`.
            title: the same for every occurrence; by default the code's words.
            detail: what was seen this time and what is allowed, without secrets.
            headers: more headers of the answer.
            extra: further members, JSON values.
        """
        super().__init__(detail or code)
        self.status = status
        self.code = code
        self.title = title or code.replace("-", " ").capitalize()
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "type": f"urn:feedgate:problem:{self.code}",
            "title": self.title,
            "status": self.status,
        }
        if self.detail is not None:
            members["detail"] = self.detail
        return {**self.extra, **members}

    def response(self) -> JSONResponse:
        return JSONResponse(
            self.document(), status_code=self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


ErrorTable = Mapping[type[FeedgateError], tuple[int, str]]
"""Status and code of each expected error that a route lets through."""

PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "A refusal, as problem details (RFC 9457).",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status"],
                    "properties": {
                        "type": {"type": "string", "pattern": "^urn:feedgate:problem:[a-z0-9-]+$"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            }
        },
    }
}
"""For `FastAPI(responses=...)`: what the API description says about every refusal."""


def install_problem_handlers(app: FastAPI, errors: ErrorTable | None = None) -> None:
    """Turn everything a route may raise into problem details.

    An expected error that the table does not know is 503 if trying again may
    help, else 500 and logged: the table is then missing a row. What is not
    expected at all is answered by `feedgate_kit.telemetry.RequestTelemetry`.

    Args:
        app: may have been given a table before; rows are added.
        errors: a row counts for subclasses too, the nearest class first.
    """
    table: dict[type[FeedgateError], tuple[int, str]] = getattr(app.state, "problem_table", {})
    table.update(errors or {})
    app.state.problem_table = table

    async def on_problem(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return error.response()

    async def on_feedgate_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FeedgateError)
        return _from_table(error, table).response()

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        if isinstance(error.body, bytes):  # FastAPI has not read it as JSON
            return _not_json(request).response()
        return invalid_request(error.errors(), error.body).response()

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return _from_http(request, error).response()

    async def on_database_down(_request: Request, error: Exception) -> JSONResponse:
        logger.error("database does not answer, or takes nothing", exc_info=error)
        return Problem(
            503,
            "database-unavailable",
            detail="the service's database does not answer, or takes nothing now; nothing was changed",
            headers={"Retry-After": "2"},
        ).response()

    async def on_database_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DBAPIError)
        if str(getattr(error.orig, "sqlstate", "")).startswith(_TAKES_NOTHING):
            return await on_database_down(request, error)
        raise error

    app.add_exception_handler(Problem, on_problem)
    for down in (OperationalError, InterfaceError, ConnectionError):
        app.add_exception_handler(down, on_database_down)
    app.add_exception_handler(DBAPIError, on_database_error)
    app.add_exception_handler(FeedgateError, on_feedgate_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def invalid_request(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """422, or 400 where the body is no JSON, from pydantic's list of errors in what was sent."""
    if any(error.get("type") == "json_invalid" for error in errors):
        return Problem(400, "malformed-json", detail="the body is not JSON (RFC 8259)")
    wrong = list(wrong_values(errors, body))
    shown = [{"path": one.path, "seen": one.seen, "allowed": one.allowed} for one in wrong[:MAXIMUM_ERRORS]]
    named = ", ".join(f"`{entry['path']}`" for entry in shown[:3])
    return Problem(
        422,
        "invalid-request",
        detail=f"{len(wrong)} of the request's values cannot be used: {named}",
        errors=shown,
    )


def _not_json(request: Request) -> Problem:
    return Problem(
        415,
        "media-type-unsupported",
        detail=f"the body's content type is `{text_seen(request.headers.get('content-type', ''))}`;"
        " allowed: `application/json`",
        headers={"Accept": "application/json"},
    )


def _from_table(error: FeedgateError, table: ErrorTable) -> Problem:
    for kind in type(error).__mro__:
        if kind in table:
            status, code = table[kind]
            headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return Problem(status, code, detail=str(error), headers=headers)
    if error.retriable:
        logger.warning("request failed for now", error=type(error).__name__, cause=str(error))
        return Problem(
            503,
            "temporarily-unavailable",
            detail="something this needs does not answer now; nothing was changed; try again",
            headers={"Retry-After": "1"},
        )
    logger.error("error without a row in the table", exc_info=error)
    return unexpected()


def unexpected() -> Problem:
    """500 without a word about the cause; the log has it under the request's id."""
    return Problem(
        500, "internal-error", detail="an unexpected error; the log has it under this answer's `X-Request-ID`"
    )


def _from_http(request: Request, error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.BAD_REQUEST and isinstance(
        error.__cause__, ValueError | RecursionError
    ):
        # What Python's reader takes for no JSON, or for more of it than it reads: FastAPI says only 400.
        return Problem(
            400,
            "malformed-json",
            detail="the body is not JSON in UTF-8 (RFC 8259), or nested too deep, or holds too long a number",
        )
    try:
        phrase = HTTPStatus(error.status_code).phrase
    except ValueError:
        phrase = "Refused"
    code = _OWN_CODES.get(error.status_code, phrase.lower().replace(" ", "-").replace("'", ""))
    detail = error.detail if error.detail and error.detail != phrase else None
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return Problem(error.status_code, code, detail=detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """Of every route of the path: the one that refused knows only its own."""
    return [
        method
        for method in HTTPMethod
        for scope in [{**request.scope, "method": method.value}]
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]
