"""Ways to a server on which bytes can be held back: a network that delivers late."""

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_port

CHUNK_BYTES = 65_536
PRODUCE = b"\x00\x00"
"""The API key of a Produce request, its first two bytes (Kafka protocol guide)."""


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
            self._passing.discard(task)


class Answers:
    """What the server says on one connection."""

    def __init__(self, detour: Detour, reader: StreamReader, writer: StreamWriter) -> None:
        self.held_from: bytes | None = None
        """Hold from the first chunk on that has these bytes in it."""
        self._detour = detour
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        while chunk := await self._reader.read(CHUNK_BYTES):
            marked = self.held_from is not None and self.held_from in chunk
            await self._detour.pass_on(chunk, self._writer, may_be_held=marked)
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
        """Hold the answer that nothing waits to be published, on the session with the publisher's lock."""
        self._hold()

    async def requests(self, reader: StreamReader, target: StreamWriter, answers: Answers) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if b"pg_advisory_xact_lock" in chunk:
                answers.held_from = b"SELECT 0\x00"  # the command tag of no rows; a ping's is `SELECT 1`
            await self.pass_on(chunk, target, may_be_held=False)
