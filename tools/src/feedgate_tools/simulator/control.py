r"""Commands to a running simulator: one JSON object a line on a loopback port, one line in return.

    {"command": "freeze", "path": "/cam0"}              write nothing, keep the connections
    {"command": "drop", "refuse_s": 5}                  close them, and new ones for 5 seconds
    {"command": "refuse-auth"}                          401 whatever the password
    {"command": "no-keyframes"}                         send only pictures that need another one
    {"command": "redirect", "url": "rtsp://other/"}     302 to DESCRIBE
    {"command": "control-elsewhere", "url": "rtsp://other/", "level": "track"}
                                                        also `session` and `content-base`
    {"command": "resume"}                               undo all of these
    {"command": "stats"}                                what was asked and sent so far

Without `path` a command concerns every camera. The answer is `{"ok": …}` or `{"error": "…"}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feedgate_tools.simulator.faults import ControlLevel
from feedgate_tools.simulator.server import Server, UnknownPathError

_MOST_LINE_BYTES = 4096


class CommandError(Exception):
    """A command that was not understood; nothing was changed."""


class Control:
    """Executes commands on one server."""

    def __init__(self, server: Server) -> None:
        self._commands: dict[str, Callable[[Arguments], object]] = {
            "freeze": lambda given: server.freeze(given.path("path")),
            "drop": lambda given: server.drop(given.path("path"), given.seconds("refuse_s", 0.0)),
            "refuse-auth": lambda given: server.refuse_credentials(given.path("path")),
            "no-keyframes": lambda given: server.withhold_keyframes(given.path("path")),
            "redirect": lambda given: server.redirect(given.path("path"), given.text("url")),
            "control-elsewhere": lambda given: server.control_elsewhere(
                given.path("path"), given.text("url"), ControlLevel(given.text("level", ControlLevel.TRACK))
            ),
            "resume": lambda given: server.resume(given.path("path")),
            "stats": lambda _: server.stats().to_json(),
        }

    def answer(self, line: bytes) -> dict[str, object]:
        """Return what the command in `line` came to."""
        try:
            return {"ok": self._execute(line)}
        except (CommandError, UnknownPathError, ValueError) as error:
            return {"error": str(error)}

    def _execute(self, line: bytes) -> object:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise CommandError("a command is a JSON object")
        name = message.pop("command", None)
        if name not in self._commands:
            raise CommandError(f"command `{name}`; allowed {', '.join(self._commands)}")
        return self._commands[name](Arguments(message))


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a command says besides its name."""

    given: Mapping[str, Any]

    def __post_init__(self) -> None:
        if unknown := self.given.keys() - {"path", "url", "level", "refuse_s"}:
            raise CommandError(f"unknown fields {', '.join(sorted(unknown))}")

    def path(self, name: str) -> str | None:
        return None if self.given.get(name) is None else self.text(name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.given.get(name, default)
        if not isinstance(value, str):
            raise CommandError(f"`{name}` must be a text")
        return value

    def seconds(self, name: str, default: float) -> float:
        value = self.given.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise CommandError(f"`{name}` must be a number of seconds")
        return float(value)


class ControlConnection(asyncio.Protocol):
    """Answers the commands of one client, line by line."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        for line in lines:
            self._transport.write(json.dumps(self._control.answer(line)).encode() + b"\n")
        if len(rest) > _MOST_LINE_BYTES:
            self._transport.close()
