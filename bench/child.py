"""Processes of a bench: each is told what to do line by line, and ends with the one that started it.

Parent and child speak JSON, one object a line: `{"command": …}` there,
`{"ok": …}` or `{"error": "…"}` back. A child ends when its standard input is
closed, however the parent came to its end.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

from bench.figures import BenchError

LINE_BYTES = 1 << 26
"""The most one answer may hold: lists of samples."""
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0

Handle = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Child:
    """A Python module run as a process of its own while the block runs."""

    def __init__(self, module: str, settings: dict[str, Any] | None = None) -> None:
        """Started on entering.

        Args:
            module: whose `main` calls `obey`.
            settings: what it is told first.
        """
        self.module = module
        self.settings = settings or {}
        self._process: asyncio.subprocess.Process
        self._asking = asyncio.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the parent, who ends it in order
        )
        try:
            self.listening: Any = await self.ask("start", START_TIMEOUT_S, **self.settings)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def ask(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S, **arguments: Any) -> Any:
        """Have it do something, and return what it says.

        Raises:
            BenchError: it could not, or it is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        async with self._asking:
            try:
                async with asyncio.timeout(timeout_s):
                    self._process.stdin.write(line)
                    await self._process.stdin.drain()
                    answered = await self._process.stdout.readline()
            except (TimeoutError, ConnectionError) as error:
                raise BenchError(f"{self.module} did not answer `{command}`: {error!r}") from error
        if not answered:
            raise BenchError(f"{self.module} ended before it answered `{command}`")
        answer = json.loads(answered)
        if "error" in answer:
            raise BenchError(f"{self.module}: {answer['error']}")
        return answer["ok"]

    async def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def obey(handle: Handle) -> None:
    """Do what the parent says until it closes the pipe. `start` comes first."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        message = json.loads(line)
        try:
            answer = {"ok": await handle(message.pop("command"), message)}
        except Exception as error:  # noqa: BLE001 - whatever it was, the parent says it
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
