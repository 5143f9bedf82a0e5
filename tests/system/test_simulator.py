"""The camera simulator, played by those who must be able to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from typing import Never

import av
import pytest

from feedgate_tools.simulator.picture_number import Image, read_picture_number
from feedgate_tools.simulator.process import Simulator, SimulatorError
from feedgate_tools.simulator.settings import Settings

SMALL = "320x180"
PASSWORD = "a b:c@d/é"
TCP = {"rtsp_transport": "tcp"}
TIMEOUT_S = 20.0


def play(url: str, pictures: int, **options: str) -> list[tuple[int | None, int | None]]:
    """Return the time and the number of so many pictures as PyAV sees them."""
    seen: list[tuple[int | None, int | None]] = []
    with av.open(url, options={**TCP, **options}, timeout=TIMEOUT_S) as camera:
        for picture in camera.decode(video=0):
            image: Image = picture.to_ndarray(format="bgr24").astype("uint8")
            seen.append((picture.pts, read_picture_number(image)))
            if len(seen) == pictures:
                break
    return seen


async def ended(*command: str) -> tuple[int | None, str]:
    """Run `command` to its end and return its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, said.decode()


async def output(*command: str) -> str:
    """Run `command` to its end and return what it said; it must succeed."""
    status, said = await ended(*command)
    assert status == 0, said
    return said


class Wire:
    """A client that looks at every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str) -> None:
        self.reader = reader
        self.writer = writer
        self.url = url

    async def ask(self, method: str, track: str = "", *headers: str) -> str:
        """Send a request and return its answer; packets before it are passed over."""
        self.send(method, track, *headers)
        while isinstance(answer := await self.next(), bytes):
            pass
        return answer

    def send(self, method: str, track: str = "", *headers: str) -> None:
        lines = [f"{method} {self.url}{track} RTSP/1.0", "CSeq: 1", *headers]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def play(self, *tracks: str) -> None:
        await self.ask("DESCRIBE")
        for index, track in enumerate(tracks):
            channels = f"interleaved={2 * index}-{2 * index + 1}"
            await self.ask("SETUP", f"/{track}", f"Transport: RTP/AVP/TCP;unicast;{channels}")
        assert "200 OK" in await self.ask("PLAY")

    async def next(self) -> str | bytes:
        """Return the next answer as text, or the next packet with its interleaved header."""
        head = await self.reader.readexactly(4)
        if head[:1] == b"$":
            return head + await self.reader.readexactly(int.from_bytes(head[2:4]))
        assert head == b"RTSP"
        answer = (head + await self.reader.readuntil(b"\r\n\r\n")).decode()
        if length := re.search(r"Content-Length: (\d+)", answer):
            answer += (await self.reader.readexactly(int(length[1]))).decode()
        return answer

    async def listen(self) -> Never:
        """Take in whatever comes, until the connection breaks."""
        while True:
            await self.next()

    async def packet(self, channel: int) -> bytes:
        """Return the next packet of `channel`, without its interleaved header."""
        while True:
            item = await self.next()
            if isinstance(item, bytes) and item[1] == channel:
                return item[4:]

    async def picture(self) -> list[bytes]:
        """Return the packets of the next picture."""
        packets = [await self.packet(0)]
        while not packets[-1][1] & 0x80:
            packets.append(await self.packet(0))
        return packets


@asynccontextmanager
async def wire(simulator: Simulator, path: str = "/cam0") -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.rtsp_port)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield Wire(reader, writer, f"rtsp://127.0.0.1:{simulator.rtsp_port}{path}")
    finally:
        writer.close()


def nal_unit_type(packet: bytes) -> int:
    kind = packet[12] & 0x1F
    return packet[13] & 0x1F if kind == 28 else kind


def sequence(packet: bytes) -> int:
    return int.from_bytes(packet[2:4])


def timestamp(packet: bytes) -> int:
    return int.from_bytes(packet[4:8])


LIVE = Settings(size=SMALL, kbps=300, user="admin", password=PASSWORD)
CLIP = Settings(size=SMALL, kbps=300, clip=True, clip_s=1, gop_s=0.4, fps=25)


@pytest.mark.parametrize("settings", [LIVE, CLIP], ids=["live", "clip"])
async def test_pyav_plays_every_picture_in_order(settings: Settings) -> None:
    async with Simulator(settings) as simulator:
        seen = await asyncio.to_thread(play, simulator.rtsp_url(), 40)
    numbers = [number for _, number in seen]
    loop = 30 if settings.clip else 1 << 22
    first = numbers[0]
    assert first is not None
    assert numbers == [(first + index) % loop for index in range(40)]
    # FFmpeg gives the first packet of a session no time.
    times = [pts for pts, _ in seen[1:] if pts is not None]
    assert [after - before for before, after in pairwise(times)] == [3600] * 38


@pytest.mark.needs("ffmpeg")
@pytest.mark.parametrize("settings", [LIVE, CLIP], ids=["live", "clip"])
async def test_ffmpeg_decodes_it_without_a_complaint(settings: Settings) -> None:
    async with Simulator(settings) as simulator:
        url = simulator.rtsp_url()
        options = ("-hide_banner", "-loglevel", "warning", "-rtsp_transport", "tcp")
        said = await output(
            "ffmpeg", *options, "-i", url, "-frames:v", "40", "-f", "rawvideo", "/dev/null", "-y"
        )
        shown = await output("ffprobe", *options, "-show_streams", "-of", "flat", url)
    assert not said
    assert 'codec_name="h264"' in shown
    assert "width=320" in shown
    assert 'avg_frame_rate="25/1"' in shown


@pytest.mark.needs("gstreamer")
@pytest.mark.parametrize("settings", [LIVE, CLIP], ids=["live", "clip"])
async def test_gstreamer_plays_it(settings: Settings) -> None:
    async with Simulator(settings) as simulator:
        url = simulator.rtsp_url(user="")
        login = (f"user-id={settings.user}", f'user-pw="{settings.password}"') if settings.user else ()
        _, said = await ended(
            "gst-launch-1.0",
            *("rtspsrc", f"location={url}", "protocols=tcp", *login),
            *("!", "rtph264depay", "!", "h264parse", "!", "avdec_h264", "!", "fakesink", "num-buffers=30"),
        )
        counts = await simulator.stats()
    # gst-launch's status also tells of its own taking down, which once in a hundred times on a busy machine
    # asks for PAUSE on a connection that it has closed itself.
    played, eos, _ = said.partition("Got EOS")
    assert eos, f"{counts}\n{said}"
    assert "ERROR" not in played, f"{counts}\n{said}"
    assert counts.paths["/cam0"].plays == 1
    assert counts.paths["/cam0"].pictures_sent >= 30


async def test_what_is_on_the_wire_is_what_the_rfcs_say() -> None:
    async with Simulator(CLIP) as simulator, wire(simulator) as client:
        await client.play("trackID=1")
        pictures = [await client.picture() for _ in range(60)]
    packets = [packet for picture in pictures for packet in picture]
    assert {packet[0] for packet in packets} == {0x80}
    assert {packet[1] & 0x7F for packet in packets} == {96}
    assert len({packet[8:12] for packet in packets}) == 1
    assert all(len({timestamp(packet) for packet in picture}) == 1 for picture in pictures)
    assert {(sequence(b) - sequence(a)) % (1 << 16) for a, b in pairwise(packets)} == {1}
    assert {(timestamp(b[0]) - timestamp(a[0])) % (1 << 32) for a, b in pairwise(pictures)} == {3600}, (
        "the clip went round twice without a jump"
    )
    kinds = [list(dict.fromkeys(map(nal_unit_type, picture))) for picture in pictures]
    assert kinds == ([[7, 8, 5]] + [[1]] * 9) * 6


async def test_a_sender_report_tells_the_true_time() -> None:
    async with Simulator(CLIP) as simulator, wire(simulator) as client:
        before = time.time()
        await client.play("trackID=1")
        (picture, *_) = await client.picture()
        report = await client.packet(1)
        after = time.time()
    kind, ssrc, seconds, fraction, rtp = struct.unpack(">xBxxIIII", report[:20])
    assert (kind, ssrc) == (200, int.from_bytes(picture[8:12]))
    at = seconds - 2_208_988_800 + fraction / 2**32
    assert before <= at <= after
    # The report was made after the picture, and by no more than all of this took.
    assert 0 <= (rtp - timestamp(picture)) % (1 << 32) <= (after - before + 1 / 25) * 90_000


async def test_answers_come_between_packets_and_rtcp_is_let_pass() -> None:
    async with Simulator(CLIP) as simulator, wire(simulator) as client:
        await client.play("trackID=1")
        for _ in range(50):
            client.writer.write(b"$\x01\x00\x08\x80\xc9\x00\x01\x00\x00\x00\x00")
            # Any cut packet would be taken for an answer, or an answer for a packet.
            assert "200 OK" in await client.ask("GET_PARAMETER")
            await client.packet(0)
        assert "200 OK" in await client.ask("TEARDOWN")
        assert (await simulator.stats()).paths["/cam0"].teardowns == 1


async def test_a_camera_draws_nothing_until_somebody_looks() -> None:
    async with Simulator(Settings(size=SMALL, cameras=2)) as simulator:
        async with wire(simulator) as client:
            await client.ask("DESCRIBE")
            await client.ask("SETUP", "/trackID=1", "Transport: RTP/AVP/TCP")
            counts = await simulator.stats()
            assert counts.paths["/cam0"].pictures_sent == counts.paths["/cam0"].plays == 0
            await client.ask("PLAY")
            await simulator.until(lambda counts: counts.paths["/cam0"].pictures_sent > 0)
        counts = await simulator.until(lambda counts: counts.paths["/cam0"].active_sessions == 0)
        untouched = counts.paths["/cam1"]
        assert (untouched.describes, untouched.plays, untouched.pictures_sent) == (0, 0, 0)


async def test_one_who_joins_is_given_a_keyframe_at_once() -> None:
    async with Simulator(Settings(size=SMALL, gop_s=3600)) as simulator:
        async with wire(simulator) as first, wire(simulator) as second:
            for client in (first, second):
                await client.play("trackID=1")
                assert nal_unit_type(await client.packet(0)) == 7
        counts = await simulator.stats()
        assert counts.paths["/cam0"].plays == 2


async def test_a_camera_that_will_not_do_that_lets_the_second_wait() -> None:
    async with Simulator(Settings(size=SMALL, gop_s=1, wait_for_keyframe=True)) as simulator:
        async with wire(simulator) as first, wire(simulator) as second:
            await first.play("trackID=1")
            keyframe = await first.packet(0)
            await second.play("trackID=1")
            joined = await second.packet(0)
        assert nal_unit_type(joined) == 7
        # Not just a second: a picture that is late by more than its time is left out, and the next one is the keyframe.
        assert (timestamp(joined) - timestamp(keyframe)) % (1 << 32) >= 90_000


async def test_sound_is_sent_to_those_who_set_it_up_only() -> None:
    async with Simulator(Settings(size=SMALL, audio=True)) as simulator:
        seen = await asyncio.to_thread(play, simulator.rtsp_url(), 5, allowed_media_types="video")
        counts = await simulator.stats()
        assert len(seen) == 5
        assert counts.paths["/cam0"].setups == {"video": 1, "audio": 0}
        assert counts.audio_packets_sent == 0
        async with wire(simulator) as client:
            await client.play("trackID=1", "trackID=2")
            report = await client.packet(3)
            sound = [await client.packet(2) for _ in range(3)]
        counts = await simulator.stats()
        assert counts.paths["/cam0"].setups == {"video": 2, "audio": 1}
    assert {packet[1] for packet in sound} == {0}
    assert {timestamp(b) - timestamp(a) for a, b in pairwise(sound)} == {320}
    assert report[1] == 200


@pytest.mark.parametrize(
    ("path", "password", "error"),
    [
        pytest.param("/cam0", "guess", av.error.HTTPUnauthorizedError, id="wrong password"),
        pytest.param("/cam7", PASSWORD, av.error.HTTPNotFoundError, id="no such path"),
    ],
)
async def test_pyav_is_told_why_it_may_not_play(path: str, password: str, error: type[Exception]) -> None:
    async with Simulator(LIVE) as simulator:
        url = simulator.rtsp_url(path, password=password)
        with pytest.raises(error):
            await asyncio.to_thread(play, url, 1)
        counts = await simulator.stats()
    assert counts.paths["/cam0"].plays == 0


async def test_cameras_are_out_of_step() -> None:
    settings = Settings(size=SMALL, clip=True, clip_s=2, gop_s=1, cameras=4)
    async with Simulator(settings) as simulator, AsyncExitStack() as stack:
        assert simulator.paths == ["/cam0", "/cam1", "/cam2", "/cam3"]
        for path in simulator.paths:
            client = await stack.enter_async_context(wire(simulator, path))
            await client.play("trackID=1")
        counts = await simulator.until(
            lambda counts: all(path.last_picture is not None for path in counts.paths.values())
        )
    numbers = [counts.paths[path].last_picture for path in simulator.paths]
    behind = [((number or 0) - (numbers[0] or 0)) % 25 for number in numbers]
    # A quarter of the 25 pictures each, less the picture that one or the other has yet to take.
    assert [abs(each - expected) <= 1 for each, expected in zip(behind, (0, 6, 12, 18), strict=True)] == [
        True
    ] * 4


async def test_a_frozen_camera_keeps_its_connections_and_goes_on_with_a_keyframe() -> None:
    async with Simulator(Settings(size=SMALL, gop_s=3600)) as simulator, wire(simulator) as client:
        await client.play("trackID=1")
        await client.picture()
        await client.picture()
        await simulator.control("freeze", path="/cam0")
        sent = (await simulator.stats()).paths["/cam0"].bytes_sent
        client.send("GET_PARAMETER")
        async with wire(simulator) as late:
            late.send("DESCRIBE")
            counts = await simulator.until(lambda counts: counts.connections_open == 2)
            assert not late.reader.at_eof()
        await simulator.control("resume")
        while isinstance(item := await client.next(), bytes):
            pass  # what was begun before the freeze is finished before anything is answered
        assert "200 OK" in item
        picture = await client.picture()
        assert nal_unit_type(picture[0]) == 7
        assert counts.paths["/cam0"].bytes_sent - sent <= 200_000


async def test_a_camera_that_drops_can_be_played_again() -> None:
    async with Simulator(Settings(size=SMALL)) as simulator:
        async with wire(simulator) as client:
            await client.play("trackID=1")
            await simulator.control("drop", refuse_s=3600)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.listen()
        async with wire(simulator) as refused:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await refused.ask("DESCRIBE")
        counts = await simulator.stats()
        assert counts.connections_refused == 1
        await simulator.control("resume")
        assert len(await asyncio.to_thread(play, simulator.rtsp_url(), 3)) == 3


@pytest.mark.parametrize("settings", [Settings(size=SMALL, gop_s=0.2), CLIP], ids=["live", "clip"])
async def test_without_keyframes_pictures_still_come(settings: Settings) -> None:
    async with Simulator(settings) as simulator, wire(simulator) as client:
        await simulator.control("no-keyframes")
        await client.play("trackID=1")
        pictures = [await client.picture() for _ in range(25)]
        assert {nal_unit_type(packet) for picture in pictures for packet in picture} == {1}
        await simulator.control("resume")
        while nal_unit_type((await client.picture())[0]) == 1:
            pass


async def test_a_client_that_does_not_read_loses_pictures_and_not_its_connection() -> None:
    settings = Settings(size="1280x720", clip=True, clip_s=0.5, gop_s=0.5, kbps=40_000)
    async with Simulator(settings) as simulator, wire(simulator) as client:
        await client.play("trackID=1")
        await simulator.until(lambda counts: counts.paths["/cam0"].pictures_dropped > 0)
        counts = await simulator.stats()
        assert counts.connections_open == 1


async def test_a_silent_client_is_hung_up_on() -> None:
    async with Simulator(Settings(size=SMALL, session_timeout_s=0.2)) as simulator, wire(simulator) as client:
        assert await client.reader.read() == b""


async def test_a_port_that_is_taken_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    async with Simulator(Settings(size=SMALL)) as simulator:
        with pytest.raises(SimulatorError):
            async with Simulator(Settings(size=SMALL, port=simulator.rtsp_port)):
                pass
    assert "cannot listen (settings host, port, control-port)" in capfd.readouterr().err


async def test_it_refuses_an_unknown_command() -> None:
    async with Simulator(Settings(size=SMALL)) as simulator:
        with pytest.raises(SimulatorError, match="allowed freeze"):
            await simulator.control("explode")


PARENT = """
import asyncio
from feedgate_tools.simulator.process import Simulator
from feedgate_tools.simulator.settings import Settings

async def main():
    async with Simulator(Settings(size="320x180")) as simulator:
        print(simulator.rtsp_port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_ends_with_its_parent_however_that_ends() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    async with asyncio.timeout(TIMEOUT_S):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_it_leaves_when_it_is_told_to() -> None:
    async with Simulator(Settings(size=SMALL)) as simulator, wire(simulator) as client:
        await client.play("trackID=1")
        os.kill(simulator.pid, signal.SIGTERM)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.listen()
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)
