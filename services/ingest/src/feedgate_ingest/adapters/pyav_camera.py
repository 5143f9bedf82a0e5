"""Cameras through PyAV: FFmpeg's RTSP client, one thread per camera."""

import asyncio
import contextlib
import operator
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

import av
import av.container
import av.error
import av.logging
import av.packet

from feedgate_ingest.adapters.describe import describe
from feedgate_ingest.adapters.shuttle import Shuttle
from feedgate_ingest.annexb import parameter_sets_of, split_nal_units
from feedgate_ingest.arrival import Arrivals, Pulse
from feedgate_ingest.picture import Picture, PictureTaker, Track
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.source import PinnedSource
from feedgate_kit.addresses import RtspUrl
from feedgate_kit.clock import Clock

OPTIONS = {
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",  # audio and metadata are set up unless told otherwise
    "protocol_whitelist": "rtsp,tcp",
    # The description has the parameters; more probing only holds pictures back.
    "analyzeduration": "0",
    "probesize": "32",
}
MOST_USERINFO_BYTES = 127
"""libavformat cuts longer credentials (`char auth[128]` in rtsp.c)."""

_OPENING_REASONS: tuple[tuple[type[av.error.FFmpegError], Reason], ...] = (
    (av.error.HTTPUnauthorizedError, Reason.UNSUPPORTED_AUTHENTICATION),
    (av.error.HTTPForbiddenError, Reason.FORBIDDEN),
    (av.error.HTTPNotFoundError, Reason.NO_SUCH_PATH),
    (av.error.ExitError, Reason.TIMED_OUT),
    (av.error.TimeoutError, Reason.TIMED_OUT),
    (av.error.ConnectionRefusedError, Reason.UNREACHABLE),
    (av.error.EOFError, Reason.DROPPED_BY_CAMERA),
    (av.error.ConnectionResetError, Reason.DROPPED_BY_CAMERA),
    (av.error.BrokenPipeError, Reason.DROPPED_BY_CAMERA),
    (av.error.InvalidDataError, Reason.PROTOCOL_ERROR),
)

MOST_WAITING_PICTURES = 250
"""Of one camera, read and not yet taken by the loop: ten seconds at 25 a second."""

VideoPacket: TypeAlias = "av.packet.Packet[av.VideoStream]"

_Event: TypeAlias = Callable[[], None]
"""What the loop has to do for a thread."""


class _Packet(NamedTuple):
    """A picture as the thread has it: nothing of it looked at yet."""

    data: bytes
    time: int | None
    received_at_us: int
    camera_time_us: int

    def to_picture(self) -> Picture:
        return Picture(split_nal_units(self.data), self.time, self.received_at_us, self.camera_time_us)


@dataclass(frozen=True, slots=True)
class PyAvTimeouts:
    """How long a camera may keep us waiting."""

    describe_s: float = 5.0
    open_s: float = 5.0
    read_s: float = 2.0  # also the longest a hang-up takes


class PyAvCamera:
    """A `Camera` for whatever FFmpeg understands.

    FFmpeg follows redirects by itself, so our own DESCRIBE to the pinned address comes
    first; SECURITY.md names the race that remains. One thread opens, reads and closes its
    container, because closing one while another thread reads it can crash the process.
    Threads do nothing else: stamping in the loop, many pictures in a row, takes half the
    time of stamping in threads that each wake up for one.
    """

    def __init__(self, clock: Clock, pulse: Pulse, timeouts: PyAvTimeouts | None = None) -> None:
        """Silences FFmpeg for the whole process: its log lines hold URLs with passwords."""
        av.logging.set_level(None)
        self._clock = clock
        self._pulse = pulse
        self._timeouts = timeouts or PyAvTimeouts()
        self._shuttle: Shuttle[_Event] = Shuttle(operator.call)

    async def play(self, source: PinnedSource, taker: PictureTaker) -> None:
        _check_credentials(source.url)
        described = await describe(source, timeout_s=self._timeouts.describe_s)
        try:
            connection = _Connection(
                source.url, taker, self._clock, self._pulse, self._timeouts, self._shuttle
            )
            await connection.run(on_playing=described.close)
        finally:
            described.close()


class _Connection:
    """One connection to a camera: a thread that reads, and the loop's end of it."""

    def __init__(
        self,
        url: RtspUrl,
        taker: PictureTaker,
        clock: Clock,
        pulse: Pulse,
        timeouts: PyAvTimeouts,
        shuttle: "Shuttle[_Event]",
    ) -> None:
        self._url = url
        self._taker = taker
        self._clock = clock
        self._pulse = pulse
        self._timeouts = timeouts
        self._shuttle = shuttle
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._on_playing: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._hang_up = False  # set by the loop, seen by the thread after its next read
        self._pictures_read = 0  # counted by the thread
        self._pictures_taken = 0  # counted by the loop

    async def run(self, on_playing: Callable[[], None]) -> None:
        """Read until cancelled; ends when the container is closed, not before."""
        self._on_playing = on_playing
        # A daemon, so that a camera in mid-read does not hold up the process's end.
        threading.Thread(target=self._read_guarded, name="camera", daemon=True).start()
        is_cancelled = False
        while not self._ended.done():
            try:
                await asyncio.shield(self._ended)
            except asyncio.CancelledError:
                is_cancelled = self._hang_up = True
        if is_cancelled:
            raise asyncio.CancelledError
        if self._failure is not None:
            raise self._failure

    # In the loop

    def _begin(self, track: Track) -> None:
        self._on_playing()
        try:
            self._taker.began(track)
        except Exception as error:  # noqa: BLE001 - carried to whoever awaits `run`, whatever it is
            self._fail(error)

    def _take(self, packet: _Packet) -> None:
        self._pictures_taken += 1
        if self._failure is not None:
            return
        try:
            self._taker.take(packet.to_picture())
        except Exception as error:  # noqa: BLE001 - likewise
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._hang_up = True

    def _end(self, failure: Exception | None) -> None:
        self._failure = self._failure or failure
        if not self._ended.done():
            self._ended.set_result(None)

    # In the thread

    def _read_guarded(self) -> None:
        failure = None
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - likewise
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._shuttle.put(self._loop, partial(self._end, failure))

    def _read(self) -> None:
        arrivals = Arrivals(self._clock, self._pulse, silent_s=self._timeouts.read_s)
        container = self._open()
        try:
            stream = next(
                (each for each in container.streams.video if each.codec_context.name == "h264"), None
            )
            if stream is None:
                raise FeedError(Reason.UNSUPPORTED_CODEC)
            extradata = stream.codec_context.extradata or b""
            track = Track(parameter_sets_of(split_nal_units(extradata)))
            self._shuttle.put(self._loop, partial(self._begin, track))
            self._forward(container, container.demux(stream), arrivals)
        finally:
            container.close()

    def _open(self) -> av.container.InputContainer:
        began_s = self._clock.monotonic_s()
        try:
            return av.open(
                self._url.reveal(),
                options=OPTIONS,
                timeout=(self._timeouts.open_s, self._timeouts.read_s),
            )
        except av.error.FFmpegError as error:
            reason = _opening_reason(error)
        if self._clock.monotonic_s() - began_s >= self._timeouts.open_s:
            reason = Reason.TIMED_OUT  # whatever FFmpeg calls it when it is interrupted
        # Outside the handler: FFmpeg's errors hold the URL, credentials and all.
        raise FeedError(reason)

    def _forward(
        self, container: av.container.InputContainer, packets: Iterator[VideoPacket], arrivals: Arrivals
    ) -> None:
        put, loop, take, monotonic_s = self._shuttle.put, self._loop, self._take, self._clock.monotonic_s
        clock_zero_us = 0
        while not self._hang_up:
            asked_s = monotonic_s()
            packet = _next(packets)
            received_at_us = arrivals.received(asked_s)
            clock_zero_us = clock_zero_us or container.start_time_realtime or 0
            time = packet.pts  # its `dts` is a guess of libavformat's, wrong where there are B-pictures
            # Ticks of 1/90000 s since the camera's RTCP said what time it is.
            camera_time_us = clock_zero_us and clock_zero_us + (time or 0) * 100 // 9
            self._pictures_read += 1
            if self._pictures_read - self._pictures_taken > MOST_WAITING_PICTURES:
                raise FeedError(Reason.WORKER_PAUSED, f"It is {MOST_WAITING_PICTURES} pictures behind.")
            put(loop, partial(take, _Packet(bytes(packet), time, received_at_us, camera_time_us)))


def _next(packets: Iterator[VideoPacket]) -> VideoPacket:
    try:
        packet = next(packets, None)
    except av.error.ExitError:
        reason = Reason.STALLED
    except av.error.InvalidDataError:
        reason = Reason.PROTOCOL_ERROR
    except av.error.FFmpegError:
        reason = Reason.DROPPED_BY_CAMERA
    else:
        if packet is not None and packet.size:
            return packet
        reason = Reason.DROPPED_BY_CAMERA
    raise FeedError(reason)


def _opening_reason(error: av.error.FFmpegError) -> Reason:
    """Why the second asking failed where the first, a moment ago, did not."""
    return next((reason for kind, reason in _OPENING_REASONS if isinstance(error, kind)), Reason.CAMERA_ERROR)


def _check_credentials(url: RtspUrl) -> None:
    userinfo = f"{quote(url.username, safe='')}:{quote(url.password, safe='')}"
    if len(userinfo) > MOST_USERINFO_BYTES:
        raise FeedError(Reason.CREDENTIALS_TOO_LONG)
