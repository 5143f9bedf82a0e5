"""The manners all HTTP APIs here share: strict bodies, versions as ETags, pages."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Request, Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

from feedgate_kit.clock import rfc3339
from feedgate_kit.problems import Problem
from feedgate_kit.wrong_values import A_TIME

T = TypeVar("T")

RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

_NOT_PLAIN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol by their category that have no ink: Hangul fillers and the empty Braille pattern."""
_LINE_MARK: Final = re.compile("[\t\n\r\u2028\u2029]")


def plain_text(text: str) -> str:
    """`text` if every database and log can hold it.

    Raises:
        ValueError: it holds a control character other than tab and line ends, one that reorders
            what a reader sees (Unicode Bidirectional Algorithm §2), or half a surrogate pair.
    """
    found = _NOT_PLAIN.search(text)
    if found is not None:
        raise ValueError(f"text without the control character U+{ord(found.group()):04X}")
    return text


def _one_line(text: str) -> str:
    found = _LINE_MARK.search(plain_text(text))
    if found is not None:
        raise ValueError(f"text on one line, without the character U+{ord(found.group()):04X}")
    if not any(map(_is_visible, text)):
        raise ValueError("text with a character that can be seen")
    return text


def _is_visible(character: str) -> bool:
    """Whether it draws something by itself: no space, no control or format character, no filler, no bare mark."""
    return unicodedata.category(character)[0] not in "ZCM" and character not in _BLANK


def _plain_value(value: Any) -> Any:
    """The same for every text in a JSON value."""
    if isinstance(value, str):
        plain_text(value)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _plain_value(key)
            _plain_value(entry)
    elif isinstance(value, list):
        for entry in value:
            _plain_value(entry)
    return value


def _strict(schema: Any) -> Any:
    """A core schema that takes numbers, booleans and text only as such, and only plain text."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str):
        kind = None  # a table of fields, one of which is called `type`
    if kind == "function-after" and schema["function"]["function"] in (plain_text, _plain_value):
        return schema  # a field of a model that was here before
    walked = {key: _strict(value) for key, value in schema.items()}
    if kind in {"int", "float", "bool"}:
        walked["strict"] = True
    elif kind == "str":
        return core_schema.no_info_after_validator_function(plain_text, {**walked, "strict": True})
    elif kind == "any":
        return core_schema.no_info_after_validator_function(_plain_value, walked)
    return walked


class ApiModel(BaseModel):
    """A request's or answer's body: unknown fields, `"5"` for 5, and text no database takes are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Not `strict=True`: FastAPI validates what `json.loads` gave, and strict
        # Python mode would refuse the texts that stand for times and UUIDs.
        schema: CoreSchema = _strict(handler(source))
        return schema


def _canonical_uuid(text: str) -> str:
    try:
        canonical = str(UUID(text))
    except ValueError:
        raise ValueError("a UUID, written like 0190a2c4-7f11-721c-afe3-e234a5a9f39d") from None
    if canonical != text.lower():
        raise ValueError("a UUID, written like 0190a2c4-7f11-721c-afe3-e234a5a9f39d")
    return canonical


Text = Annotated[str, AfterValidator(plain_text)]
"""Text without control characters, for parameters; bodies refuse them in every text.
Give it a length: `Annotated[Text, Field(max_length=80)]`."""

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True), AfterValidator(_one_line)
]
"""Text of 1 to 80 characters on one line, at least one of which can be seen."""

Id = Annotated[str, Field(max_length=36), AfterValidator(_canonical_uuid)]
"""A UUID as lower-case text."""


def _no_number(value: Any) -> Any:
    if not isinstance(value, str | datetime) or (isinstance(value, str) and not RFC3339.fullmatch(value)):
        raise ValueError(A_TIME)
    return value


def _within_reach(at: datetime) -> datetime:
    """Far from the ends of the calendar, where a time may have no UTC, and from years that are typos."""
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"a time from {EARLIEST.year} to {LATEST.year - 1}")
    return at


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_no_number),
    AfterValidator(_within_reach),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
"""An aware time of the years 1970 to 2199; answers write it in UTC with `Z` (RFC 3339)."""


class Page(ApiModel, Generic[T]):
    """A part of a list, in a stable order."""

    items: list[T]
    next: str | None = None
    """Give it as `after` to have the following part; null at the end."""


def etag(version: int) -> str:
    """The strong entity tag of a version (RFC 9110 §8.8.3)."""
    return f'"{version}"'


def set_etag(response: Response, version: int) -> None:
    response.headers["ETag"] = etag(version)


def require_if_match(request: Request, version: int) -> None:
    """Let the request pass only if it was made knowing `version` (RFC 9110 §13.1.1).

    Raises:
        Problem: 428 `precondition-required` without `If-Match`; 412 `version-conflict`
            if it names another version. Nothing was changed.
    """
    if "if-match" not in request.headers:
        raise Problem(
            428,
            "precondition-required",
            detail="send `If-Match` with the `ETag` of the version this change is made to",
        )
    tags = {tag.strip() for value in request.headers.getlist("if-match") for tag in value.split(",")}
    if "*" not in tags and etag(version) not in tags:
        raise Problem(
            412,
            "version-conflict",
            detail=f"it has changed meanwhile; its version is now {version}",
            headers={"ETag": etag(version)},
            version=version,
        )
