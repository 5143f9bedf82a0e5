"""Errors as callers see them: problem details (RFC 9457), every one with a stable type."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from feedgate_kit.errors import FeedgateError

MEDIA_TYPE: Final = "application/problem+json"
HIDDEN: Final = "…"
MAXIMUM_SEEN_CHARS: Final = 80
MAXIMUM_ERRORS: Final = 20
SECRET_WORDS: Final = frozenset({
    "apikey", "authorization", "cookie", "credential", "credentials", "dsn", "passphrase", "passwd",
    "password", "passwords", "pwd", "secret", "secrets", "source", "sources", "ticket", "tickets",
    "token", "tokens", "username",
})  # fmt: skip
"""Parts of names whose values are never shown to anybody."""

A_TIME: Final = "a time with its zone as in RFC 3339, e.g. `2030-01-31T12:00:00Z`"

_KIND_WORDS: Final = {
    "extra_forbidden": "no such field",
    "missing": "this field is needed",
    "string_type": "text",
    "string_unicode": "text without half a surrogate pair",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "an array",
    "tuple_type": "an array",
}
"""What is allowed, by pydantic's kind of error, where its own words are those of a validator."""
_LENGTH_KINDS: Final = frozenset({"too_short", "too_long", "string_too_short", "string_too_long"})
_VALIDATORS_WORDS: Final = re.compile(r"^(Value error, |Assertion failed, |\w+ should (be )?)")
_KEY: Final = "[key]"
"""Pydantic's mark of an error in a name instead of its value."""

_OWN_CODES: Final = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "media-type-unsupported",
    422: "invalid-request",
}

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
        logger.error("database does not answer", exc_info=error)
        return Problem(
            503,
            "database-unavailable",
            detail="the service's database does not answer; nothing was changed",
            headers={"Retry-After": "2"},
        ).response()

    app.add_exception_handler(Problem, on_problem)
    for down in (OperationalError, InterfaceError, ConnectionError):
        app.add_exception_handler(down, on_database_down)
    app.add_exception_handler(FeedgateError, on_feedgate_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def invalid_request(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """422, or 400 where the body is no JSON, from pydantic's list of errors in what was sent."""
    if any(error.get("type") == "json_invalid" for error in errors):
        return Problem(400, "malformed-json", detail="the body is not JSON (RFC 8259)")
    wrong = list(_wrong_values(errors, body))
    shown = [
        {"path": _path(one.place), "seen": _seen(one), "allowed": one.allowed}
        for one in wrong[:MAXIMUM_ERRORS]
    ]
    named = ", ".join(f"`{entry['path']}`" for entry in shown[:3])
    return Problem(
        422,
        "invalid-request",
        detail=f"{len(wrong)} of the request's values cannot be used: {named}",
        errors=shown,
    )


def wrong_entry(error: ValidationError, fields: Collection[str]) -> str:
    """Behind the name of an entry of an operator's file: where it is wrong, what was seen, what is allowed."""
    first = error.errors(include_url=False)[0]
    where = f", `{_path(first['loc'])}`" if first["loc"] else ""
    if first["type"] in {"missing", "extra_forbidden"}:
        seen = "is missing" if first["type"] == "missing" else "is no field"
        return f"{where} {seen}; allowed: {', '.join(fields)}"
    return f"{where}: saw `{_seen(_Wrong(first['loc'], first['input'], ''))}`; allowed: {_allowed(first)}"


def _not_json(request: Request) -> Problem:
    return Problem(
        415,
        "media-type-unsupported",
        detail=f"the body's content type is `{_text_seen(request.headers.get('content-type', ''))}`;"
        " allowed: `application/json`",
        headers={"Accept": "application/json"},
    )


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is never shown, judged word by word: `client_secret`, `rtspPassword`."""
    words, word = [], ""
    for before, character in zip(" " + name, name, strict=False):
        if not character.isalnum():
            words.append(word)
            word = ""
        elif character.isupper() and before.islower():
            words.append(word)
            word = character
        else:
            word += character
    words.append(word)
    return any(part.lower() in SECRET_WORDS for part in words)


def _from_table(error: FeedgateError, table: ErrorTable) -> Problem:
    for kind in type(error).__mro__:
        if kind in table:
            status, code = table[kind]
            return Problem(status, code, detail=str(error))
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


Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A value that cannot be used: where it stands, what it is, and what could be."""

    place: Place
    value: Any
    allowed: str


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One error of one member of a union, each of which pydantic tries."""

    member: str
    union: Place
    value: Any  # at the union's place
    error: Mapping[str, Any]
    wrong: _Wrong

    @property
    def is_of_whole(self) -> bool:
        return self.wrong.place == self.union


def _wrong_values(errors: Sequence[Mapping[str, Any]], body: Any) -> Iterator[_Wrong]:
    """By place, in pydantic's order; the members of a union speak as one."""
    found = [_locate(error, body) for error in errors]
    told: set[Place] = set()
    for one in found:
        if isinstance(one, _Wrong):
            yield one
        elif one.union not in told:
            told.add(one.union)
            yield from _of_union(
                [other for other in found if isinstance(other, _Attempt) and other.union == one.union]
            )


def _locate(error: Mapping[str, Any], body: Any) -> _Wrong | _Attempt:
    """Where the value stands in what was sent, found by going there.

    Pydantic's `loc` names members of unions, too: by their class, or by the validators they are made of.
    """
    kind, (source, *parts) = error.get("type"), error.get("loc") or ("body",)
    value = None if kind == "missing" else error.get("input")
    if source != "body":
        return _Wrong((source, *parts[:1]), value, _allowed(error))
    place: Place = ("body",)
    attempt: tuple[str, Place, Any] | None = None
    at = body
    for number, part in enumerate(parts, start=1):
        is_there = part in at if isinstance(at, dict) else isinstance(at, list) and part in range(len(at))
        if is_there:
            place, at = (*place, part), at[part]
        elif kind == "missing" and number == len(parts):
            place = (*place, part)
        elif part != _KEY and attempt is None:
            attempt = (str(part), place, at)
    wrong = _Wrong(place, value, _allowed(error))
    return wrong if attempt is None else _Attempt(*attempt, error, wrong)


def _of_union(attempts: Sequence[_Attempt]) -> Iterator[_Wrong]:
    """What is wrong within the member that was meant, or which members there are."""
    members: dict[str, list[_Attempt]] = {}
    for attempt in attempts:
        members.setdefault(attempt.member, []).append(attempt)
    meant = [tried for tried in members.values() if _knows_a_field(tried)]
    if meant:
        yield from (attempt.wrong for attempt in min(meant, key=len))
    else:
        words = dict.fromkeys(_member_words(name, tried) for name, tried in members.items())
        yield _Wrong(attempts[0].union, attempts[0].value, " or ".join(words))


def _knows_a_field(tried: Sequence[_Attempt]) -> bool:
    """Whether an object was sent that has a field of this member."""
    unknown = sum(attempt.error.get("type") == "extra_forbidden" for attempt in tried)
    value = tried[0].value
    return isinstance(value, dict) and not any(one.is_of_whole for one in tried) and unknown < len(value)


def _member_words(name: str, tried: Sequence[_Attempt]) -> str:
    """`text`, or `a document` for the class `DocumentBody`."""
    if not name[:1].isupper():
        return next((one.wrong.allowed for one in tried if one.is_of_whole), "an object")
    noun = re.sub(r"(?<=.)(?=[A-Z])", " ", re.sub(r"(?<=.)(Body|Form)$", "", name)).lower()
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _path(place: Place) -> str:
    """`body.source.url`, `query.radius_m`, `path.camera_id`."""
    # The caller's own keys may be among them, and a caller may have sent an address as a key.
    parts = [str(part) for part in place]
    return ".".join(HIDDEN if "@" in part or "://" in part else part[:MAXIMUM_SEEN_CHARS] for part in parts)


def _seen(wrong: _Wrong) -> Any:
    """The value as sent, cut; hidden if it, or anything it lies in or holds, may be secret."""
    if any(isinstance(part, str) and is_secret_name(part) for part in wrong.place):
        return HIDDEN
    seen: Any
    match wrong.value:
        case str(text):
            seen = _text_seen(text)
        case None | bool() as plain:
            seen = plain
        case int() | float() as number:
            # JSON readers lose digits of large numbers, and JSON has no NaN.
            seen = number if abs(number) < 2**53 else "a number outside ±2^53"
        case other:
            # What a container holds may be secret under any name; its kind is enough to find it.
            kind = type(other).__name__
            seen = {"dict": "an object", "list": "an array"}.get(kind, f"a {kind}")
    return seen


def _text_seen(text: str) -> str:
    if "://" in text or "@" in text:
        return HIDDEN  # an address in the wrong field may still carry a password
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAXIMUM_SEEN_CHARS else text[:MAXIMUM_SEEN_CHARS] + HIDDEN


def _allowed(error: Mapping[str, Any]) -> str:
    """In words of what is sent, not of what validates it."""
    kind, context = str(error.get("type")), error.get("ctx") or {}
    if kind in _KIND_WORDS:
        words = _KIND_WORDS[kind]
    elif kind in _LENGTH_KINDS:
        words = _length_allowed(context, error.get("input"))
    elif kind == "string_pattern_mismatch":
        words = f"text that matches `{context['pattern']}`"
    elif kind.startswith(("datetime_", "timezone_")):
        words = A_TIME
    else:
        words = _VALIDATORS_WORDS.sub("", str(error.get("msg", "another value")))
    return f"as a name: {words}" if _KEY in error.get("loc", ()) else words


def _length_allowed(context: Mapping[str, Any], value: Any) -> str:
    end, count = (
        ("least", context["min_length"]) if "min_length" in context else ("most", context["max_length"])
    )
    thing = "character" if isinstance(value, str) else "field" if isinstance(value, dict) else "item"
    return f"at {end} {count} {thing}{'' if count == 1 else 's'}"
