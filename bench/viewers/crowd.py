"""All viewers of one process, and what they say of a stretch of time."""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final

from bench.viewers.connection import Door
from bench.viewers.viewer import Viewer

AT_ONCE: Final = 20
"""Viewers that come in at the same time."""
DRAIN_WITHIN_S: Final = 2.0


class Crowd:
    """Opened together, asked together."""

    def __init__(self) -> None:
        self.readers: list[Viewer] = []
        self.stalled: list[Viewer] = []

    async def open(
        self,
        origins: Sequence[str],
        tickets: Sequence[dict[str, Any]],
        stalled: Sequence[dict[str, Any]],
        ca_file: str | None,
    ) -> None:
        """Let every ticket open a view.

        Args:
            origins: viewers are dealt out over them.
            tickets: of viewers that read.
            stalled: of viewers that never read their media socket.
            ca_file: vouches for origins that speak TLS.
        """
        doors = cycle([Door.of(origin, ca_file) for origin in origins])
        self.readers = [Viewer() for _ in tickets]
        self.stalled = [Viewer(reads=False) for _ in stalled]
        room = asyncio.Semaphore(AT_ONCE)

        async def let_in(viewer: Viewer, ticket: dict[str, Any], door: Door) -> None:
            async with room:
                await viewer.open(door, ticket)

        everybody = zip([*self.stalled, *self.readers], [*stalled, *tickets], strict=True)
        await asyncio.gather(*(let_in(viewer, ticket, next(doors)) for viewer, ticket in everybody))

    def fewest_pictures(self) -> int:
        """What the viewer with the fewest pictures has."""
        return min((len(viewer.sequences) for viewer in self.readers), default=0)

    def forget_pictures(self) -> None:
        for viewer in self.readers:
            viewer.forget_pictures()

    def pictures_between(self, from_ns: int, until_ns: int) -> int:
        """The fewest any reader received in a stretch of the monotonic clock."""
        return min(
            bisect_left(viewer.received_ns, until_ns) - bisect_left(viewer.received_ns, from_ns)
            for viewer in self.readers
        )

    async def ending(self, called_ns: int, within_s: float) -> dict[str, Any]:
        """What became of everybody after the owner's call.

        Args:
            called_ns: when the owner's request was sent, monotonic.
            within_s: how long to wait for everybody's notice.
        """
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*(viewer.stopped.wait() for viewer in self.readers))
        except TimeoutError:
            pass  # those that were not told are counted
        everybody = [*self.readers, *self.stalled]
        await asyncio.gather(*(viewer.drain(DRAIN_WITHIN_S) for viewer in everybody))
        told = [viewer for viewer in self.readers if viewer.stop is not None]
        return {
            "samples_ms": [round(_sample_ns(viewer, called_ns) / 1e6, 3) for viewer in told],
            "untold": len(self.readers) - len(told),
            "late_pictures": sum(late_pictures(viewer) for viewer in told),
            "stalled_pictures": [viewer.pictures_begun for viewer in self.stalled],
        }

    def seen(self) -> list[dict[str, list[int]]]:
        """Every picture of every reader."""
        return [
            {"sequences": viewer.sequences.tolist(), "received_ns": viewer.received_ns.tolist()}
            for viewer in self.readers
        ]

    def leases(self) -> int:
        return sum(viewer.leases for viewer in self.readers)

    def leave(self) -> None:
        for viewer in [*self.readers, *self.stalled]:
            viewer.close()
        self.readers, self.stalled = [], []


def _sample_ns(viewer: Viewer, called_ns: int) -> int:
    assert viewer.stop is not None
    return max(viewer.stop.received_ns, viewer.last_picture_byte_ns) - called_ns


def late_pictures(viewer: Viewer) -> int:
    """Pictures that came after the viewer's notice was read, or were sent later than it.

    What the viewer's kernel held by then had come before, though this process may read it later.
    """
    stop = viewer.stop
    assert stop is not None
    return sum(
        end > stop.media_bytes or sent_us >= stop.said_before_us
        for end, sent_us in zip(viewer.ends, viewer.sent_us, strict=True)
    )
