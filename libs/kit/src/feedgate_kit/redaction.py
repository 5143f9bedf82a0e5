"""What no log line may hold: credentials, tokens, camera addresses."""

import math
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from feedgate_kit.wrong_values import HIDDEN, is_secret_name

MAXIMUM_TEXT_CHARS: Final = 32 * 1024
MAXIMUM_DEPTH: Final = 8

_NAME: Final = (
    r"(?:api[_-]?key|authorization|cookie|credentials?|dsn|passphrase|passwd|password|pwd"
    r"|secret|ticket|token)"
)
_PATTERNS: Final = (
    # A camera's address is hidden whole, also percent-encoded or with escaped slashes.
    (re.compile(r"(?i)\b(rtsps?(?:x)?)(:|%3a)((?:/|\\/|%2f|\\\\/){2})[^\s\"'<>`]*"), r"\1\2\3" + HIDDEN),
    # JSON Web Tokens, ours and others'.
    (re.compile(r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)*"), HIDDEN),
    # WebSocket subprotocols that carry a ticket or a media secret.
    (re.compile(r"\b(ticket|media)\.[\w-]{16,}[\w.-]*"), r"\1." + HIDDEN),
    # Authorization values.
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 " + HIDDEN),
    (re.compile(r"(?i)\b(digest)\s+\w+\s*=[^\n]*"), r"\1 " + HIDDEN),
    # `password=…`, `"token": "…"`, `client_secret: …`
    (
        re.compile(
            rf"(?i)((?:\b|_){_NAME}[\"']?\s{{0,4}}[=:]\s{{0,4}})(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s,;&]+)"
        ),
        r"\1" + HIDDEN,
    ),
    # SQLAlchemy shows what it bound to a failed statement.
    (re.compile(r"\[parameters: [^\n]*"), f"[parameters: {HIDDEN}]"),
)  # fmt: skip
_SEPARATOR: Final = re.compile(r"://|:\\/\\/|%3a%2f%2f", re.IGNORECASE)
_ENDS_OF_USERINFO: Final = ("@", "%40")


def redact_text(text: str) -> str:
    """`text` without URL user information, camera addresses, tokens and named secrets.

    Rather too little is left than too much: on each line, everything between
    the first `://` and the last `@` goes, because a password may hold any
    character, `@`, `/` and spaces included.
    """
    text = "\n".join(_without_userinfo(line) for line in text.split("\n"))
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    if len(text) > MAXIMUM_TEXT_CHARS:
        # Cut after redaction: half a secret would not be recognised.
        text = text[:MAXIMUM_TEXT_CHARS] + HIDDEN
    return text


def redact(value: Any, depth: int = 0) -> Any:
    """A copy of `value` that JSON can hold, redacted in every key, value and text at any depth."""
    redacted: Any
    match value:
        case float() if not math.isfinite(value):
            redacted = str(value)  # JSON has no such numbers
        case None | bool() | int() | float():
            redacted = value
        case str():
            redacted = redact_text(value)
        case bytes() | bytearray() | memoryview():
            redacted = f"{len(value)} bytes"
        case _ if depth >= MAXIMUM_DEPTH:
            redacted = HIDDEN
        case Mapping():
            redacted = {
                redact_text(str(key)): _hidden(entry)
                if is_secret_name(str(key))
                else redact(entry, depth + 1)
                for key, entry in value.items()
            }
        case list() | tuple() | set() | frozenset():
            redacted = [redact(entry, depth + 1) for entry in value]
        case _:
            redacted = redact_text(_text_of(value))
    return redacted


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor; stands after exceptions were made text and before the renderer."""
    redacted: MutableMapping[str, Any] = redact(event)
    return redacted


def _hidden(value: Any) -> Any:
    """Nothing of the value but whether there was one."""
    return value if value is None or isinstance(value, bool) else HIDDEN


def _without_userinfo(line: str) -> str:
    # Not one regular expression: those that can say this take quadratic time on hostile text.
    separator = _SEPARATOR.search(line)
    end = max(line.rfind(mark) for mark in _ENDS_OF_USERINFO)
    if separator is None or end < separator.end():
        return line
    return line[: separator.end()] + HIDDEN + line[end:]


def _text_of(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - any object may be logged; a broken `repr` must not end the caller
        return f"a {type(value).__name__} that cannot be shown"
