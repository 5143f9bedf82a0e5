"""A crowd that looks on: everything each of them is shown or told is recorded as it comes."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from bench.figures import BenchError
from bench.viewers.connection import Connection, Door, connect, upgrade_request
from bench.viewers.frames import BINARY, TEXT, Frame
from feedgate_client.pictures import HEADER, KIND_FRAGMENT
from feedgate_kit.errors import FeedgateError
from tests.faults.recording import NO_LEASE, Told, ViewRecord

LEASE_S: Final = 3.0
WATCH_S: Final = 0.25
AGAIN_S: Final = 0.5
"""Before a viewer that was not let in tries again."""
OPEN_WITHIN_S: Final = 6.0
NOTICE_BYTES: Final = 1 << 20
MILLISECOND: Final = timedelta(milliseconds=1)

TakeTicket = Callable[[str], Awaitable[dict[str, Any]]]
"""A ticket for a grant."""


class Showing:
    """The camera that some viewers look at, as far as it is shared."""

    def __init__(self) -> None:
        self.grant_id: str | None = None
        self.trouble = ""
        """What kept its owner, or the agency, from sharing it last."""
        self.changed = asyncio.Event()
        self.over = asyncio.Event()
        """Somebody was told that this grant shows nothing more."""

    def open(self, grant_id: str) -> None:
        self.grant_id = grant_id
        self.over = asyncio.Event()
        self._tell()

    def shut(self) -> None:
        self.grant_id = None
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class View:
    """One view of one viewer, from its opening to the end of either socket."""

    def __init__(self, viewer: int, grant_id: str) -> None:
        now_s = time.monotonic()
        self.record = ViewRecord(viewer, grant_id, "", now_s)
        self.ended = asyncio.Event()
        self.leased_s = now_s
        self._hello: dict[str, Any] | None = None
        self._greeted = asyncio.Event()  # or refused
        self._connections: list[Connection] = []

    async def open(self, origin: str, ticket: dict[str, Any]) -> None:
        """Open both sockets.

        Raises:
            BenchError, OSError, TimeoutError: the relay did not let it in.
        """
        door = Door.of(origin)
        async with asyncio.timeout(OPEN_WITHIN_S):
            request = upgrade_request(door, ticket["notices_url"], f"ticket.{ticket['ticket']}")
            await self._connect(door, request, NOTICE_BYTES, self._take_notice)
            hello = await self._greeting(self._connections[0])
            self.record.view_id = hello["view_id"]
            self.record.opened_s = self.leased_s = time.monotonic()
            request = upgrade_request(door, hello["media_path"], f"media.{hello['media_secret']}")
            await self._connect(door, request, HEADER.size, self._take_picture)

    async def _greeting(self, notices: Connection) -> dict[str, Any]:
        refused = asyncio.create_task(notices.closed.wait())
        refused.add_done_callback(lambda _: self._greeted.set())
        try:
            await self._greeted.wait()
        finally:
            refused.cancel()
        if self._hello is None:
            raise BenchError(f"refused: {notices.close_reason}")
        return self._hello

    async def until_ended(self) -> None:
        """Return when either socket is closed; whichever still is open then is closed, too."""
        closing = [asyncio.create_task(connection.closed.wait()) for connection in self._connections]
        try:
            await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
            with suppress(TimeoutError):  # its own word comes on the other socket
                async with asyncio.timeout(1.0):
                    await asyncio.wait(closing)
        finally:
            for task in closing:
                task.cancel()
            self.close()

    def miss_lease(self, now_s: float) -> None:
        """Cover the screen, and give the view up, if the relay has given no sign of life for too long."""
        if self.record.closed_s is None and now_s - self.leased_s > LEASE_S:
            self.record.told.append(Told(now_s, NO_LEASE, ""))
            self.close()

    def leave(self) -> None:
        self.record.left = True
        self.close()

    def close(self) -> None:
        if self.record.closed_s is None:
            self.record.closed_s = time.monotonic()
        for connection in self._connections:
            connection.close()
        if self._connections:
            self.record.close_reason = self.record.close_reason or self._connections[0].close_reason
            self.record.cut_off = not self.record.left and any(
                not media.close_reason for media in self._connections[1:]
            )

    async def _connect(
        self, door: Door, request: bytes, keep: int, take: Callable[[Frame, int], None]
    ) -> None:
        connection = Connection(request, keep=keep, on_frame=take)
        await connect(door, connection)
        self._connections.append(connection)

    def _take_picture(self, frame: Frame, now_ns: int) -> None:
        if frame.opcode != BINARY or len(frame.start) < HEADER.size:
            return
        kind, _flags, _tile, sequence, sent_us = HEADER.unpack(frame.start)
        if kind == KIND_FRAGMENT:
            self.record.pictures_s.append(now_ns / 1e9)
            self.record.sequences.append(sequence)
            self.record.sent_us.append(sent_us)

    def _take_notice(self, frame: Frame, now_ns: int) -> None:
        if frame.opcode != TEXT:
            return
        message = json.loads(frame.start)
        match message["type"]:
            case "hello":
                self._hello = message
                self._greeted.set()
            case "lease":
                self.leased_s = now_ns / 1e9
            case "notice":
                at = datetime.fromisoformat(message["at"]) + MILLISECOND  # the end of the one it names
                stamped_us = round(at.timestamp() * 1_000_000)
                self.record.told.append(
                    Told(now_ns / 1e9, message["code"], message.get("reason", ""), stamped_us)
                )


class Viewer:
    """Looks at one camera for as long as it may, and comes back when it may again."""

    def __init__(self, number: int, showing: Showing, origin: str, take_ticket: TakeTicket) -> None:
        self.number = number
        self.showing = showing
        self.views: list[View] = []
        self.refusal = ""
        """Why it was not let in last."""
        self._origin = origin
        self._take_ticket = take_ticket

    def last_picture_s(self) -> float:
        """0 where the present view has shown none."""
        pictures = self.views[-1].record.pictures_s if self.views else None
        return pictures[-1] if pictures else 0.0

    def last_told(self) -> str:
        """For whoever wonders why it sees nothing."""
        if self.showing.grant_id is None or self.showing.over.is_set():
            return f"nothing is shared: {self.showing.trouble}"
        told = self.views[-1].record.told if self.views else []
        return f"{told[-1].code} ({told[-1].reason})" if told else self.refusal or "nothing was said"

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                changed, grant_id = self.showing.changed, self.showing.grant_id
                if grant_id is None or self.showing.over.is_set():
                    await changed.wait()
                elif not await self._look(grant_id):
                    await asyncio.sleep(AGAIN_S)
        finally:
            if self.views:
                self.views[-1].leave()

    async def _look(self, grant_id: str) -> bool:
        """One view, to its end; False where none was opened."""
        over = self.showing.over
        view = View(self.number, grant_id)
        try:
            ticket = await self._take_ticket(grant_id)
            await view.open(self._origin, ticket)
        except (BenchError, FeedgateError, OSError, TimeoutError) as error:
            self.refusal = str(error) or type(error).__name__
            if " 403 " in self.refusal:
                over.set()  # by access-policy, for good
            view.leave()
            if view.record.view_id:
                self.views.append(view)  # it was opened in half: the relay may have put it on record
            return False
        self.views.append(view)
        await view.until_ended()
        if any(told.code == "stopped" for told in view.record.told):
            over.set()
        return True


class Crowd:
    """All viewers, as many for each camera."""

    def __init__(self, viewers: Sequence[Viewer]) -> None:
        self.viewers = viewers

    async def blind_after(self, within_s: float) -> list[Viewer]:
        """Wait until everybody has had a picture from now on; those who have not when the time is over."""
        began_s = time.monotonic()
        while True:
            blind = [viewer for viewer in self.viewers if viewer.last_picture_s() < began_s]
            if not blind or time.monotonic() > began_s + within_s:
                return blind
            await asyncio.sleep(0.1)

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for viewer in self.viewers:
                tasks.create_task(viewer.run())
            tasks.create_task(self._watch_leases())

    def forget_before(self, at_s: float) -> None:
        """Let go of views that had ended by then."""
        for viewer in self.viewers:
            viewer.views = [
                view for view in viewer.views if view.record.closed_s is None or view.record.closed_s >= at_s
            ]

    async def _watch_leases(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = time.monotonic()
            for viewer in self.viewers:
                if viewer.views:
                    viewer.views[-1].miss_lease(now_s)
