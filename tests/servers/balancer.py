"""One port before several: each connection goes to the next that accepts it."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_port

CHUNK_BYTES = 65_536


class Balancer:
    """As a name with several addresses is, or a gateway of an internal network. Enter it before it is used."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._targets = deque(ports)
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            # Cancelled only at the end; asyncio's streams log a task that ends so as a failure.
            with suppress(OSError, asyncio.CancelledError):
                target_reader, target_writer = await self._connect()
                back = asyncio.create_task(_carry(target_reader, writer))
                try:
                    await _carry(reader, target_writer)
                finally:
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
        finally:
            writer.close()
            self._passing.discard(task)

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        for left in reversed(range(len(self._targets))):
            self._targets.rotate(-1)
            try:
                return await asyncio.open_connection("127.0.0.1", self._targets[0])
            except OSError:
                if not left:
                    raise
        raise AssertionError("a service has a process")


async def _carry(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
