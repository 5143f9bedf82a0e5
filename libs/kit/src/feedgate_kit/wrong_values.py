"""What of given values cannot be used, in the words of whoever gave them: where, what was seen, what is allowed."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

HIDDEN: Final = "…"
MAXIMUM_SEEN_CHARS: Final = 80
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

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class WrongValue:
    """A value that cannot be used: where it stands, what it is, and what could be."""

    place: Place
    value: Any
    allowed: str

    @property
    def path(self) -> str:
        """`body.source.url`, `query.radius_m`, `path.camera_id`."""
        return _path(self.place)

    @property
    def seen(self) -> Any:
        """The value as sent, cut; hidden if it, or anything it lies in or holds, may be secret."""
        if any(isinstance(part, str) and is_secret_name(part) for part in self.place):
            return HIDDEN
        seen: Any
        match self.value:
            case str(text):
                seen = text_seen(text)
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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One error of one member of a union, each of which pydantic tries."""

    member: str
    union: Place
    value: Any  # at the union's place
    error: Mapping[str, Any]
    wrong: WrongValue

    @property
    def is_of_whole(self) -> bool:
        return self.wrong.place == self.union


def wrong_entry(error: ValidationError, fields: Collection[str]) -> str:
    """Behind the name of an entry of an operator's file: where it is wrong, what was seen, what is allowed."""
    first = error.errors(include_url=False)[0]
    where = f", `{_path(first['loc'])}`" if first["loc"] else ""
    if first["type"] in {"missing", "extra_forbidden"}:
        seen = "is missing" if first["type"] == "missing" else "is no field"
        return f"{where} {seen}; allowed: {', '.join(fields)}"
    return f"{where}: saw `{WrongValue(first['loc'], first['input'], '').seen}`; allowed: {_allowed(first)}"


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


def text_seen(text: str) -> str:
    """What was sent, as it may be shown: cut, and hidden where it may be an address."""
    if "://" in text or "@" in text:
        return HIDDEN  # an address in the wrong field may still carry a password
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAXIMUM_SEEN_CHARS else text[:MAXIMUM_SEEN_CHARS] + HIDDEN


def wrong_values(errors: Sequence[Mapping[str, Any]], body: Any) -> Iterator[WrongValue]:
    """By place, in pydantic's order; the members of a union speak as one."""
    found = [_locate(error, body) for error in errors]
    told: set[Place] = set()
    for one in found:
        if isinstance(one, WrongValue):
            yield one
        elif one.union not in told:
            told.add(one.union)
            yield from _of_union(
                [other for other in found if isinstance(other, _Attempt) and other.union == one.union]
            )


def _locate(error: Mapping[str, Any], body: Any) -> WrongValue | _Attempt:
    """Where the value stands in what was sent, found by going there.

    Pydantic's `loc` names members of unions, too: by their class, or by the validators they are made of.
    """
    kind, (source, *parts) = error.get("type"), error.get("loc") or ("body",)
    value = None if kind == "missing" else error.get("input")
    if source != "body":
        return WrongValue((source, *parts[:1]), value, _allowed(error))
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
    wrong = WrongValue(place, value, _allowed(error))
    return wrong if attempt is None else _Attempt(*attempt, error, wrong)


def _of_union(attempts: Sequence[_Attempt]) -> Iterator[WrongValue]:
    """What is wrong within the member that was meant, or which members there are."""
    members: dict[str, list[_Attempt]] = {}
    for attempt in attempts:
        members.setdefault(attempt.member, []).append(attempt)
    meant = [tried for tried in members.values() if _knows_a_field(tried)]
    if meant:
        yield from (attempt.wrong for attempt in min(meant, key=len))
    else:
        words = dict.fromkeys(_member_words(name, tried) for name, tried in members.items())
        yield WrongValue(attempts[0].union, attempts[0].value, " or ".join(words))


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
    # The caller's own keys may be among them, and a caller may have sent an address as a key.
    parts = [str(part) for part in place]
    return ".".join(HIDDEN if "@" in part or "://" in part else part[:MAXIMUM_SEEN_CHARS] for part in parts)


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
