"""One viewer: a notice socket, a media socket, and when what came over them."""

import asyncio
import json
from array import array
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bench.figures import BenchError
from bench.viewers.connection import Connection, Door, connect, upgrade_request
from bench.viewers.frames import BINARY, TEXT, Frame
from feedgate_client.pictures import HEADER, KIND_FRAGMENT

WHOLE: Final = 1 << 20
"""Notices are kept whole."""
HELLO_TIMEOUT_S: Final = 10.0
MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Stop:
    """The notice that ends a view."""

    received_ns: int  # monotonic
    media_bytes: int  # of the media socket, that had come by then
    said_before_us: int  # wall clock of the relay; its `at` has milliseconds, this is their end


class Viewer:
    """Looks on until it is told `stopped`."""

    def __init__(self, *, reads: bool = True) -> None:
        """Not there yet: `open` it. One that does not read is drained at its end."""
        self.stop: Stop | None = None
        self.stopped = asyncio.Event()
        self.leases = 0
        # Four columns of one table, a row for each picture.
        self.sequences = array("q")
        self.sent_us = array("q")  # the relay's wall clock, from the picture's header
        self.received_ns = array("q")  # this machine's monotonic clock, last byte
        self.ends = array("q")  # bytes of the media socket that had come when it was whole
        self._reads = reads
        self._hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._notices: Connection
        self._media: Connection

    @property
    def last_picture_byte_ns(self) -> int:
        return self._media.last_binary_ns

    @property
    def pictures_begun(self) -> int:
        """Those it has, and the one whose beginning it has."""
        return len(self.sequences) + self._media.frames.is_within_frame

    async def open(self, door: Door, ticket: dict[str, Any]) -> None:
        """Open both sockets.

        Raises:
            BenchError: the relay did not let it in.
        """
        request = upgrade_request(door, ticket["notices_url"], f"ticket.{ticket['ticket']}")
        self._notices = Connection(request, keep=WHOLE, on_frame=self._take_notice)
        await connect(door, self._notices)
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = await self._hello
        except TimeoutError:
            raise BenchError("a viewer was not greeted") from None
        request = upgrade_request(door, hello["media_path"], f"media.{hello['media_secret']}")
        self._media = Connection(
            request, keep=HEADER.size, on_frame=self._take_picture, pause_at_upgrade=not self._reads
        )
        await connect(door, self._media)

    async def drain(self, within_s: float) -> None:
        """Read what a viewer that did not read can still have."""
        self._media.resume()
        try:
            async with asyncio.timeout(within_s):
                await self._media.closed.wait()
        except TimeoutError:
            return

    def forget_pictures(self) -> None:
        for column in (self.sequences, self.sent_us, self.received_ns, self.ends):
            del column[:]

    def close(self) -> None:
        self._notices.close()
        self._media.close()

    def _take_picture(self, frame: Frame, now_ns: int) -> None:
        if frame.opcode != BINARY or len(frame.start) < HEADER.size:
            return
        kind, _flags, _tile, sequence, sent_us = HEADER.unpack(frame.start)
        if kind == KIND_FRAGMENT:
            self.sequences.append(sequence)
            self.sent_us.append(sent_us)
            self.received_ns.append(now_ns)
            self.ends.append(frame.end)

    def _take_notice(self, frame: Frame, now_ns: int) -> None:
        if frame.opcode != TEXT:
            return
        message = json.loads(frame.start)
        match message["type"]:
            case "hello":
                self._hello.set_result(message)
            case "lease":
                self.leases += 1
            case "notice" if message["code"] == "stopped":
                at = datetime.fromisoformat(message["at"]) + MILLISECOND
                self.stop = Stop(now_ns, self._media.bytes_here(), round(at.timestamp() * 1_000_000))
                self.stopped.set()
