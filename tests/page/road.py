"""The road between a browser and a server: it passes bytes on, until one kind of connection is cut or held up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536


@dataclass(eq=False)
class Journey:
    """One connection, known by the path it asked for first."""

    path: str
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passing: asyncio.Event = field(default_factory=asyncio.Event)


class Road:
    """Enter it before the server is there; it need not listen until the first connection."""

    def __init__(self) -> None:
        self.origin = ""
        self.target_port = 0
        self.journeys: list[Journey] = []

    def cut(self, path: str) -> None:
        """End every connection that asked for this path, at both its ends and without a word."""
        for journey in self._on(path):
            journey.client.transport.abort()
            journey.server.transport.abort()

    def hold_up(self, path: str) -> None:
        """Pass nothing on any more. Neither end is told."""
        for journey in self._on(path):
            journey.passing.clear()

    def let_go(self, path: str) -> None:
        """Pass on what waited, and what comes."""
        for journey in self._on(path):
            journey.passing.set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection from its first line to its end."""
        try:
            head = await reader.readuntil(b"\r\n")
            back, server = await asyncio.open_connection("127.0.0.1", self.target_port)
            journey = Journey(head.split()[1].decode(), writer, server)
            journey.passing.set()
            self.journeys.append(journey)
            try:
                server.write(head)
                await asyncio.gather(
                    _pass(reader, server, journey.passing), _pass(back, writer, journey.passing)
                )
            finally:
                await _gone(server)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # an end of the road went away
        finally:
            await _gone(writer)

    def _on(self, path: str) -> list[Journey]:
        found = [
            journey
            for journey in self.journeys
            if journey.path == path and not journey.client.transport.is_closing()
        ]
        assert found, f"nobody is on the road to {path}"
        return found


@asynccontextmanager
async def road() -> AsyncIterator[Road]:
    """A road from a free port of loopback."""
    way = Road()
    travelling: set[asyncio.Task[None]] = set()

    def set_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(way.meet(reader, writer))
        travelling.add(task)
        task.add_done_callback(travelling.discard)

    server = await asyncio.start_server(set_out, "127.0.0.1", 0)
    way.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        for task in list(travelling):
            task.cancel()
        await asyncio.gather(*travelling, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        await passing.wait()
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def _gone(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()
