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
from collections.abc import Callable
from typing import Any

from feedgate_tools.simulator.faults import ControlLevel
from feedgate_tools.simulator.server import Server, UnknownPathError

_REQUIRED: Any = object()


class CommandError(Exception):
    """A command that was not understood; nothing was changed."""


class Control:
    """Takes commands for one server."""

    def __init__(self, server: Server) -> None:
        self._commands: dict[str, Callable[[_Arguments], object]] = {
            "freeze": lambda given: server.freeze(given.path()),
            "drop": lambda given: server.drop(given.path(), given.seconds("refuse_s", 0.0)),
            "refuse-auth": lambda given: server.refuse_credentials(given.path()),
            "no-keyframes": lambda given: server.withhold_keyframes(given.path()),
            "redirect": lambda given: server.redirect(given.path(), given.text("url")),
            "control-elsewhere": lambda given: server.control_elsewhere(
                given.path(), given.text("url"), ControlLevel(given.text("level", ControlLevel.TRACK))
            ),
            "resume": lambda given: server.resume(given.path()),
            "stats": lambda _: server.stats().to_json(),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer line after line until the other side hangs up."""
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # gone, or a line beyond the reader's limit: there is nobody to tell
        finally:
            writer.close()

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
        # Arguments are all taken before anything is done: they are those of one call.
        return self._commands[name](_Arguments(message))


class _Arguments:
    """The fields of a command besides its name; each is taken once, none may be left."""

    def __init__(self, message: dict[str, Any]) -> None:
        self._message = message

    def path(self) -> str | None:
        unknown = self._message.keys() - {"path", "url", "level", "refuse_s"}
        if unknown:
            raise CommandError(f"unknown fields {', '.join(sorted(unknown))}")
        path = self._message.get("path")
        if path is not None and not isinstance(path, str):
            raise CommandError("`path` is a text")
        return path

    def text(self, name: str, default: str = _REQUIRED) -> str:
        value = self._message.get(name, default)
        if not isinstance(value, str):
            raise CommandError(f"`{name}` is a text")
        return value

    def seconds(self, name: str, default: float) -> float:
        value = self._message.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise CommandError(f"`{name}` is a number of seconds")
        return float(value)
