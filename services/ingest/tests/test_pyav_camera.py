"""What FFmpeg fails with becomes a reason, and nothing of the URL it knows comes out with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from feedgate_ingest.adapters.beating import beating
from feedgate_ingest.adapters.pyav_camera import PyAvCamera, PyAvTimeouts
from feedgate_ingest.arrival import Pulse
from feedgate_ingest.picture import Picture, Track
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.source import PinnedSource
from feedgate_kit.addresses import RtspUrl
from feedgate_kit.clock import SystemClock

pytestmark = pytest.mark.sockets

PASSWORD = "Zaubersäge"
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=c\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n"
DESCRIBED = f"RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"


class Taker:
    def began(self, track: Track) -> None:
        raise AssertionError(track)

    def take(self, picture: Picture) -> None:
        raise AssertionError(picture)


class TwoFacedCamera:
    """Kind to the first DESCRIBE, which is ours; the second connection is FFmpeg's and meets `answer`."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.connections = 0
        self.is_hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_ours = self.connections == 1
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode()
                cseq = request.split("CSeq: ")[1].split("\r\n")[0]
                answer = DESCRIBED if is_ours else self.answer
                if answer == "":
                    break
                if answer is not None:
                    writer.write(answer.replace("{cseq}", cseq).encode())
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            if not is_ours:
                self.is_hung_up.set()


@asynccontextmanager
async def playing(answer: str | None) -> AsyncIterator[tuple[TwoFacedCamera, PinnedSource, PyAvCamera]]:
    script = TwoFacedCamera(answer)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = SystemClock()
    pulse = Pulse(clock)
    camera = PyAvCamera(clock, pulse, PyAvTimeouts(describe_s=5, open_s=0.5, read_s=0.5))
    try:
        with beating(pulse):
            yield script, PinnedSource(RtspUrl("127.0.0.1", port, "/live", "admin", PASSWORD)), camera
    finally:
        server.close()


def status(number: int) -> str:
    return f"RTSP/1.0 {number} Word\r\nCSeq: {{cseq}}\r\n\r\n"


def everything_in(error: BaseException | None) -> str:
    """All that a log could make of an error, and of what stands behind it."""
    said = ""
    while error is not None:
        said += f"{error!r} {error} {error.args} {vars(error)} {getattr(error, 'filename', '')}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(status(401), Reason.UNSUPPORTED_AUTHENTICATION, id="a login FFmpeg does not know"),
        pytest.param(status(403), Reason.FORBIDDEN, id="forbidden"),
        pytest.param(status(404), Reason.NO_SUCH_PATH, id="not found"),
        pytest.param(status(500), Reason.CAMERA_ERROR, id="an error"),
        pytest.param("", None, id="hangs up"),
        pytest.param(None, Reason.TIMED_OUT, id="says nothing"),
    ],
)
async def test_ffmpegs_failures_have_reasons_and_hold_no_secret(
    answer: str | None, reason: Reason | None
) -> None:
    async with playing(answer) as (_, source, camera):
        with pytest.raises(FeedError) as caught:
            await camera.play(source, Taker())
    if reason is not None:
        assert caught.value.reason is reason
    out = everything_in(caught.value)
    for secret in (PASSWORD, "Zaubers", "admin", "rtsp://", "127.0.0.1", "/live"):
        assert secret not in out


async def test_cancelling_waits_until_the_connection_is_closed() -> None:
    async with playing(None) as (script, source, camera):
        play = asyncio.create_task(camera.play(source, Taker()))
        while script.connections < 2:  # noqa: ASYNC110 - FFmpeg connects in its own time
            await asyncio.sleep(0.005)
        play.cancel()
        with pytest.raises(asyncio.CancelledError):
            await play
        async with asyncio.timeout(5):
            await script.is_hung_up.wait()


async def test_credentials_that_ffmpeg_would_cut_are_refused_before_it_sees_them() -> None:
    async with playing(None) as (script, source, camera):
        long = PinnedSource(RtspUrl("127.0.0.1", source.url.port, "/live", "admin", "ä" * 30))
        with pytest.raises(FeedError) as caught:
            await camera.play(long, Taker())
    assert caught.value.reason is Reason.CREDENTIALS_TOO_LONG
    assert script.connections == 0
