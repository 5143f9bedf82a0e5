"""A way to Kafka on which requests can be held back: a network that delivers late."""

import asyncio
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_port

PRODUCE = b"\x00\x00"
"""The API key of a Produce request, its first two bytes (Kafka protocol guide)."""
CHUNK_BYTES = 65_536


class Detour:
    """Passes bytes on to one port, except what it was told to hold.

    Enter it before a client uses it. Answers are never held.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.target_port = free_port()
        self.held = asyncio.Event()
        """Set once a request is being held."""
        self._marks: tuple[bytes, ...] = ()
        self._open = asyncio.Event()
        self._open.set()
        self._passing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def hold(self, *marks: bytes) -> None:
        """From the first Produce request on that has all `marks`, hold its connection's requests."""
        self._marks = marks
        self.held.clear()
        self._open.clear()

    def release(self) -> None:
        """Deliver what was held, also on behalf of a client that is long gone."""
        self._marks = ()
        self._open.set()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        back = asyncio.create_task(_copy(target_reader, writer))
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    request = await _read_request(reader)
                    await self._until_open(request)
                    target_writer.write(request)
                    await target_writer.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            target_writer.close()
            writer.close()
            self._passing.discard(task)

    async def _until_open(self, request: bytes) -> None:
        if self._marks and request[4:6] == PRODUCE and all(mark in request for mark in self._marks):
            self.held.set()
            await self._open.wait()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """One request with its length before it."""
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.close()
