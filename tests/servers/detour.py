"""Ways to a server on which bytes can be held back: a network that delivers late."""

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_port

CHUNK_BYTES = 65_536
TCP_REPAIR = 19
"""A socket in this mode goes without a word to its other end (Linux, `tcp_close`); it takes CAP_NET_ADMIN."""
PRODUCE = b"\x00\x00"
"""The API key of a Produce request, its first two bytes (Kafka protocol guide)."""

TRUE = b"D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01\x01"
"""A row of one `boolean`; a ping's is of an `integer` (PostgreSQL, "Message Formats")."""
NO_ROWS = b"SELECT 0\x00"
"""The command tag."""


class Detour:
    """Passes bytes on to one port, except what it was told to hold. Enter it before a client uses it."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.target_port = target_port
        self.held = asyncio.Event()
        """Set once something is being held."""
        self._open = asyncio.Event()
        self._open.set()
        self._passing: set[asyncio.Task[None]] = set()
        self._clients: set[StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def release(self) -> None:
        """Deliver what was held, also on behalf of a client that is long gone."""
        self._open.set()

    def vanish(self) -> None:
        """Forget every connection and tell no client, as a machine does that was away and is back without them."""
        for client in self._clients:
            connected = client.get_extra_info("socket")
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # what has come is acknowledged
            connected.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            client.transport.abort()

    async def requests(self, reader: StreamReader, target: StreamWriter, answers: "Answers") -> None:
        """Pass on what the client says on one connection."""
        raise NotImplementedError

    async def pass_on(self, message: bytes, writer: StreamWriter, *, may_be_held: bool) -> None:
        if may_be_held and not self._open.is_set():
            self.held.set()
            await self._open.wait()
        writer.write(message)
        await writer.drain()

    def _hold(self) -> None:
        self.held.clear()
        self._open.clear()

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self._clients.add(writer)
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        answers = Answers(self, target_reader, writer)
        answering = asyncio.create_task(answers.run())
        try:
            # Cancelled only at the end of the detour; asyncio's streams log a task that ends so as a failure.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.requests(reader, target_writer, answers)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            target_writer.close()
            writer.close()
            self._clients.discard(writer)
            self._passing.discard(task)


class Answers:
    """What the server says on one connection."""

    def __init__(self, detour: Detour, reader: StreamReader, writer: StreamWriter) -> None:
        self.held_from: tuple[bytes, bytes] | None = None
        """Hold from the first chunk on that has the second of these in it, and came after one with the first."""
        self._detour = detour
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        came_before = False
        while chunk := await self._reader.read(CHUNK_BYTES):
            before, held = self.held_from or (b"", b"")
            marked = self.held_from is not None and held in chunk
            await self._detour.pass_on(chunk, self._writer, may_be_held=marked and came_before)
            came_before = not marked and (came_before or before in chunk)
        self._writer.close()


class KafkaDetour(Detour):
    """A way on which what a producer sends can be held."""

    def __init__(self) -> None:
        super().__init__(free_port())
        self._marks: tuple[bytes, ...] = ()

    def hold(self, *marks: bytes) -> None:
        """From the first Produce request on that has all `marks`, hold its connection's requests."""
        self._marks = marks
        self._hold()

    async def requests(self, reader: StreamReader, target: StreamWriter, answers: Answers) -> None:
        del answers
        while True:
            size = await reader.readexactly(4)
            request = await reader.readexactly(int.from_bytes(size, "big"))
            marked = request.startswith(PRODUCE) and all(mark in request for mark in self._marks)
            await self.pass_on(size + request, target, may_be_held=marked)


class PostgresDetour(Detour):
    """A way on which the answer to a question of the publisher's can be held."""

    def hold_answer(self) -> None:
        """Hold the last answer before a heartbeat, on the session with the publisher's lock.

        It is asked what waits to be published, then whether no stop is owed, then what waits once more.
        """
        self._hold()

    async def requests(self, reader: StreamReader, target: StreamWriter, answers: Answers) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if b"pg_advisory_xact_lock" in chunk:
                answers.held_from = (TRUE, NO_ROWS)
            await self.pass_on(chunk, target, may_be_held=False)
