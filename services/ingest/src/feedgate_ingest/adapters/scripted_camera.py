"""A camera without a network, which plays what it is told."""

import asyncio

from feedgate_ingest.picture import Picture, PictureTaker, Track
from feedgate_ingest.reasons import FeedError
from feedgate_ingest.source import PinnedSource


class ScriptedConnection:
    """One connection; whoever holds it is the camera."""

    def __init__(self, source: PinnedSource, taker: PictureTaker) -> None:
        self.source = source
        self.is_open = True
        self._taker = taker
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def begin(self, track: Track) -> None:
        """The camera plays."""
        self._taker.began(track)

    def send(self, picture: Picture) -> None:
        """A picture; if it is refused the connection ends with that error."""
        try:
            self._taker.take(picture)
        except FeedError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """The camera, or the way to it, is at fault."""
        self._ended.set_exception(error)

    async def until_ended(self) -> None:
        await self._ended


class ScriptedCamera:
    """A `Camera` for tests; all its cameras are one."""

    def __init__(self) -> None:
        self.connections: list[ScriptedConnection] = []
        self.may_close = asyncio.Event()  # cleared: hanging up takes its time, as with real ones
        self.may_close.set()

    async def play(self, source: PinnedSource, taker: PictureTaker) -> None:
        connection = ScriptedConnection(source, taker)
        self.connections.append(connection)
        try:
            await connection.until_ended()
        except asyncio.CancelledError:
            await self.may_close.wait()
            raise
        finally:
            connection.is_open = False

    @property
    def open_connections(self) -> list[ScriptedConnection]:
        return [connection for connection in self.connections if connection.is_open]
