"""A simulator in a process of its own, for the demo, the tests and the benches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import quote

from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.settings import Settings

_START_TIMEOUT_S = 60.0
"""A clip is coded first."""
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.02


class SimulatorError(Exception):
    """The simulator did not start, or did not do what it was told."""


class Simulator:
    """Starts a simulator and stops it again; it also ends if this process dies.

    async with Simulator(Settings(user="admin", password="…")) as simulator:
        url = simulator.rtsp_url()
        await simulator.control("freeze")
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.rtsp_port = 0
        self.control_port = 0
        self.paths: list[str] = []
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Start, and return when it listens.

        Raises:
            SimulatorError: it ended instead; why stands on standard error.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "feedgate_tools.simulator",
            "--exit-with-parent",
            *self.settings.to_arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is its parent's; it ends when told
        )
        try:
            await self._connect()
        except BaseException:
            await self._end_process()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._end_process()

    @property
    def pid(self) -> int:
        return self._process.pid

    def rtsp_url(self, path: str = "/cam0", user: str | None = None, password: str | None = None) -> str:
        """Return the URL of a camera, with the right credentials unless others are given."""
        user = self.settings.user if user is None else user
        password = self.settings.password if password is None else password
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"rtsp://{login}{self.settings.host}:{self.rtsp_port}{path}"

    async def control(self, command: str, *, path: str | None = None, **arguments: Any) -> Any:
        """Execute a command of `control.py` and return its answer; it is in force when this returns.

        Raises:
            SimulatorError: it was refused, and nothing was changed.
        """
        message = {"command": command, **({} if path is None else {"path": path}), **arguments}
        async with self._one_at_a_time:
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        if not line:
            raise SimulatorError(f"the simulator ended before it answered `{command}`")
        answer = json.loads(line)
        if "error" in answer:
            raise SimulatorError(answer["error"])
        return answer["ok"]

    async def stats(self) -> Counts:
        return Counts.from_json(await self.control("stats"))

    async def until(self, condition: Callable[[Counts], bool], *, timeout_s: float = 10.0) -> Counts:
        """Return the first counts for which `condition` holds.

        Raises:
            TimeoutError: it did not come true in time.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                counts = await self.stats()
                if condition(counts):
                    return counts
                await asyncio.sleep(_POLL_S)

    async def _connect(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(_START_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise SimulatorError("the simulator ended before it listened")
        listening = json.loads(line)
        self.rtsp_port = listening["rtsp_port"]
        self.control_port = listening["control_port"]
        self.paths = listening["paths"]
        # An answer is one line, and that of `stats` grows with the cameras.
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self.control_port, limit=1 << 20
        )

    async def _end_process(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.communicate()
