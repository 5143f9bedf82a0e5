"""One viewer's pictures: admitted, written, waiting, or dropped to the next keyframe."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from feedgate_kit.clock import Clock
from feedgate_relay.admission import Refusal, Source, Vouched, admit, why_not
from feedgate_relay.init_segment import InitSegment
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.picture import Picture
from feedgate_relay.ports import Connection
from feedgate_relay.reasons import Reason
from feedgate_relay.windows import UNREAD, Window
from feedgate_relay.wire import DISCONTINUITY, FRAGMENT, INIT, KEYFRAME, media_frame

STALLED_AFTER_S: Final = 0.5
"""A picture that has waited this long for its viewer's socket costs the rest of its GOP."""
QUEUE_BYTES: Final = 8 * 1024 * 1024
"""What may wait for one viewer. All viewers share the pictures: these bytes are held once."""


_TOLD_OTHERWISE: Final = frozenset({Refusal.WINDOW_CLOSED, Refusal.NOT_FRESH})
"""The view covers its tile for these, with a notice of its own."""


class Gate(Protocol):
    """How far the state copies can be relied on now."""

    vouched: Vouched


class Newest(Protocol):
    """The newest source seen of the stream."""

    source: Source | None


class Listener(Protocol):
    """Who is told what became of the pictures."""

    def pictures_begin(self, picture: Picture) -> None:
        """The next thing on the socket is a picture, after none were shown."""
        ...

    def picture_written(self, picture: Picture) -> None: ...

    def gap(self, reason: str) -> None:
        """Pictures are missing; they go on at the next keyframe."""
        ...


class SharedFrame:
    """A picture's message, stamped once for all viewers it is written to at the same time."""

    __slots__ = ("_frame", "_now_us", "picture")

    def __init__(self, picture: Picture, now_us: Callable[[], int]) -> None:
        self.picture = picture
        self._now_us = now_us
        self._frame: bytes | None = None

    @property
    def stamped(self) -> bool:
        """Whether it was handed to anybody."""
        return self._frame is not None

    def bytes(self) -> bytes:
        if self._frame is None:
            self._frame = picture_frame(self.picture, self._now_us(), 0)
        return self._frame


def picture_frame(picture: Picture, sent_at_us: int, flags: int) -> bytes:
    """A picture's message."""
    if picture.is_random_access_point:
        flags |= KEYFRAME
    return media_frame(FRAGMENT, flags, picture.sequence, sent_at_us, picture.body)


class _Waiting(NamedTuple):
    """A picture that its viewer's socket did not take yet."""

    picture: Picture
    since_s: float  # monotonic
    after_gap: bool  # it does not follow the one before it


class Delivery:
    """The media half of a view.

    Every picture passes `admit` when its bytes are handed to the socket: at
    once where the socket takes them, else when it takes bytes again.
    """

    def __init__(
        self, *, gate: Gate, newest: Newest, clock: Clock, metrics: RelayMetrics, listener: Listener
    ) -> None:
        self._gate = gate
        self._newest = newest
        self._now_us = clock.now_us
        self._monotonic_s = clock.monotonic_s
        self._metrics = metrics
        self._listener = listener
        self._connection: Connection | None = None
        self._queue: deque[_Waiting] = deque()
        self._queue_bytes = 0
        self._init: InitSegment | None = None
        self._after_gap = True  # the next picture taken does not follow the last one taken
        self._undrained = False
        self._stalled = False  # left out until the socket takes bytes again
        self.window: Window = UNREAD
        self.needs_keyframe = True
        self.hidden = False
        self.shown = False
        """Whether the viewer has been told that pictures come, and not since that they do not."""
        self.pictures = 0
        self.bytes = 0
        self.first_picture_at_us = 0
        self.last_picture_at_us = 0
        self.last_picture_s = 0.0
        self.last_byte_at_us = 0
        """When the last byte of a picture was handed to the kernel; 0 if none was."""
        self.last_refusal = ""

    @property
    def is_open(self) -> bool:
        """Whether pictures may be written: the media socket is there, and the view is on record."""
        return self._connection is not None

    @property
    def blocked(self) -> bool:
        """Whether the socket does not take what was written last."""
        return self._connection is not None and not self._connection.can_write

    def begin(self, connection: Connection) -> None:
        """Write to this connection from now on."""
        self._connection = connection
        connection.on_writable = self.flush

    def offer(self, frame: SharedFrame) -> None:
        """A picture of the stream has come."""
        connection = self._connection
        if connection is None or self.hidden or self._stalled:
            return
        picture = frame.picture
        if self.needs_keyframe and not picture.is_random_access_point:
            return
        if not self._admits(picture):
            self._refuse(picture, after_gap=self._after_gap)
            return
        after_gap, self._after_gap, self.needs_keyframe = self._after_gap, False, False
        if self._queue or not connection.can_write:
            self._wait(picture, after_gap=after_gap)
        elif self._begins_anew(picture, after_gap=after_gap):
            self._write_first(connection, picture)
        else:
            self._write(connection, picture, frame.bytes())

    def join(self, gop: Sequence[Picture]) -> bool:
        """Begin with the cached GOP, if every picture of it is admitted now."""
        if not self.is_open or self.hidden or not gop or not all(self._admits(picture) for picture in gop):
            return False
        self.drop_waiting()
        for picture in gop:
            self.offer(SharedFrame(picture, self._now_us))
        return True

    def flush(self) -> None:
        """The socket takes bytes again: what waited is asked once more, then written."""
        if self._undrained:
            self._undrained = False
            self.last_byte_at_us = self._now_us()
        connection = self._connection
        self._stalled = False
        while connection is not None and self._queue and connection.can_write:
            picture, _, after_gap = self._queue.popleft()
            self._queue_bytes -= len(picture.body)
            if not self._admits(picture):
                self._refuse(picture, after_gap=after_gap)
                return
            if self._begins_anew(picture, after_gap=after_gap):
                self._write_first(connection, picture)
            else:
                self._write(connection, picture, picture_frame(picture, self._now_us(), 0))

    def drop_stalled(self) -> None:
        """Give up on what has waited too long."""
        if self._queue and (
            self._monotonic_s() - self._queue[0].since_s > STALLED_AFTER_S or self._queue_bytes > QUEUE_BYTES
        ):
            dropped = len(self._queue)
            self.drop_waiting()
            self._stalled = True
            self._metrics.pictures_skipped.inc(dropped)
            self._listener.gap(Reason.VIEWER_TOO_SLOW)

    def lose_pictures(self) -> None:
        """Pictures were lost on their way here. What waits is whole and may still be sent."""
        following = self.shown and not self.needs_keyframe
        self.needs_keyframe = True
        self._after_gap = True
        if following:
            self._listener.gap(Reason.PICTURES_LOST)

    def drop_waiting(self) -> None:
        """Forget what waits; the next picture written is a keyframe."""
        self._queue.clear()
        self._queue_bytes = 0
        self.needs_keyframe = True
        self._after_gap = True

    def cover(self) -> None:
        """The viewer is told that no pictures come, and forgets those it has: it must begin anew."""
        self.shown = False
        self._init = None
        self.drop_waiting()

    def cease(self) -> None:
        """Write no more, for ever. What waits is discarded; what the socket has not taken may still leave."""
        self.drop_waiting()
        self._connection = None

    def connection_ended(self) -> None:
        """The connection has ended: nothing more reaches the kernel."""
        if self._undrained:
            self._undrained = False
            self.last_byte_at_us = self._now_us()

    def _admits(self, picture: Picture) -> bool:
        return admit(
            picture,
            self._newest.source,
            self.window,
            self._gate.vouched,
            self._now_us(),
            self._monotonic_s(),
        )

    def _refuse(self, picture: Picture, *, after_gap: bool) -> None:
        following = self.shown and not after_gap
        self.drop_waiting()
        refusal = why_not(
            picture,
            self._newest.source,
            self.window,
            self._gate.vouched,
            self._now_us(),
            self._monotonic_s(),
        )
        # None: a window that shut by one clock's reading and is open by the next one's.
        self.last_refusal = "" if refusal is None else refusal
        if refusal is not None:
            self._metrics.pictures_refused.labels(refusal).inc()
            if following and refusal not in _TOLD_OTHERWISE:
                self._listener.gap(refusal)

    def _begins_anew(self, picture: Picture, *, after_gap: bool) -> bool:
        """Whether the player must be told something before this picture."""
        return after_gap or self._init is not picture.init or not self.shown

    def _wait(self, picture: Picture, *, after_gap: bool) -> None:
        self._queue.append(_Waiting(picture, self._monotonic_s(), after_gap))
        self._queue_bytes += len(picture.body)
        self.drop_stalled()

    def _write_first(self, connection: Connection, picture: Picture) -> None:
        """A picture after none, or of another run: with what a player must be told before it."""
        if not self.shown:
            self.shown = True
            self._listener.pictures_begin(picture)
            if self._connection is None:
                return  # telling the viewer has shown that it is gone
        now_us = self._now_us()
        flags = DISCONTINUITY if self.pictures else 0
        parts = []
        if self._init is not picture.init and picture.init is not None:
            parts.append(media_frame(INIT, flags, picture.sequence, now_us, picture.init.body))
            self._init = picture.init
        parts.append(picture_frame(picture, now_us, flags))
        self._write(connection, picture, b"".join(parts))

    def _write(self, connection: Connection, picture: Picture, frame: bytes) -> None:
        connection.write(frame)
        now_us = self._now_us()
        if not self.pictures:
            self.first_picture_at_us = now_us
        self.pictures += 1
        self.bytes += len(frame)
        self.last_picture_at_us = self.last_byte_at_us = now_us
        self.last_picture_s = self._monotonic_s()
        self._undrained = not connection.can_write
        self._listener.picture_written(picture)
