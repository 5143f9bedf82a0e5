"""Cameras through PyAV: FFmpeg's RTSP client, one thread per camera."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

import av
import av.container
import av.error
import av.logging
import av.packet

from feedgate_ingest.adapters.describe import describe
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

VideoPacket: TypeAlias = "av.packet.Packet[av.VideoStream]"


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
    """

    def __init__(self, clock: Clock, pulse: Pulse, timeouts: PyAvTimeouts | None = None) -> None:
        """Silences FFmpeg for the whole process: its log lines hold URLs with passwords."""
        av.logging.set_level(None)
        self._clock = clock
        self._pulse = pulse
        self._timeouts = timeouts or PyAvTimeouts()

    async def play(self, source: PinnedSource, taker: PictureTaker) -> None:
        _check_credentials(source.url)
        await describe(source, timeout_s=self._timeouts.describe_s)
        await _Reader(source.url, taker, self._clock, self._pulse, self._timeouts).run()


class _Reader:
    """One connection, from open to close, in a thread of its own."""

    def __init__(
        self, url: RtspUrl, taker: PictureTaker, clock: Clock, pulse: Pulse, timeouts: PyAvTimeouts
    ) -> None:
        self._url = url
        self._taker = taker
        self._clock = clock
        self._pulse = pulse
        self._timeouts = timeouts
        self._hang_up = False  # set by the loop, seen by the thread after its next read

    async def run(self) -> None:
        """Read until cancelled; ends when the container is closed, not before."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def read() -> None:
            error = self._read_guarded()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, ended, error)

        # A daemon, so that a camera in mid-read does not hold up the process's end.
        threading.Thread(target=read, name="camera", daemon=True).start()
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError:
                self._hang_up = True
        if self._hang_up:
            raise asyncio.CancelledError
        failure = ended.result()
        if failure is not None:
            raise failure

    def _read_guarded(self) -> BaseException | None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - carried to whoever waits, whatever it is
            return error
        return None

    def _read(self) -> None:
        arrivals = Arrivals(self._clock, self._pulse)
        container = self._open()
        try:
            stream = next(
                (each for each in container.streams.video if each.codec_context.name == "h264"), None
            )
            if stream is None:
                raise FeedError(Reason.UNSUPPORTED_CODEC)
            extradata = stream.codec_context.extradata or b""
            self._taker.began(Track(parameter_sets_of(split_nal_units(extradata))))
            self._forward(container, container.demux(stream), arrivals)
        finally:
            container.close()

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(
                self._url.reveal(),
                options=OPTIONS,
                timeout=(self._timeouts.open_s, self._timeouts.read_s),
            )
        except av.error.FFmpegError as error:
            reason = _opening_reason(error)
        # Outside the handler: FFmpeg's errors hold the URL, credentials and all.
        raise FeedError(reason)

    def _forward(
        self, container: av.container.InputContainer, packets: Iterator[VideoPacket], arrivals: Arrivals
    ) -> None:
        take, monotonic_s, read_s = self._taker.take, self._clock.monotonic_s, self._timeouts.read_s
        clock_zero_us = 0
        while not self._hang_up:
            asked_s = monotonic_s()
            packet = _next(packets)
            received_at_us = arrivals.received(asked_s)
            if self._hang_up:
                return
            # At its timeout FFmpeg gives out what it has of the picture under way.
            if monotonic_s() - asked_s >= read_s:
                raise FeedError(Reason.STALLED, f"Nothing came for {read_s:g} s.")
            clock_zero_us = clock_zero_us or container.start_time_realtime or 0
            pts = packet.pts
            take(
                Picture(
                    nal_units=split_nal_units(bytes(packet)),
                    dts=packet.dts,
                    pts=pts,
                    received_at_us=received_at_us,
                    # Ticks of 1/90000 s since the camera's RTCP said what time it is.
                    camera_time_us=clock_zero_us and clock_zero_us + (pts or 0) * 100 // 9,
                )
            )


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


def _settle(ended: "asyncio.Future[BaseException | None]", error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(error)
