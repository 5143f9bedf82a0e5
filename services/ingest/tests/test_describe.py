"""What a camera answers to DESCRIBE, and what ingest makes of it; the camera is a few lines of a script."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET

import pytest
import uvloop

from feedgate_ingest.adapters.describe import MOST_BODY_BYTES, MOST_HEAD_BYTES, DescribeConnection, describe
from feedgate_ingest.reasons import TREATMENTS, FeedError, Reason
from feedgate_ingest.source import PinnedSource
from feedgate_kit.addresses import RtspUrl

pytestmark = pytest.mark.sockets

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n"
)
UNAUTHORIZED = 'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\n\r\n'
STALE = UNAUTHORIZED.replace('nonce="n"', 'nonce="m", stale=true')
HANG_UP, RESET, RESET_UNASKED = "", "(reset)", "(reset unasked)"
NO_LINGER = struct.pack("ii", 1, 0)
"""Of a socket: on, for 0 s; closing it then sends RST (socket(7))."""
PASSWORD = "Zaubersäge"


def ok(body: str = SDP, *headers: str) -> str:
    head = "\r\n".join(["RTSP/1.0 200 OK", "CSeq: 1", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n{body}"


def status(number: int, *headers: str) -> str:
    return "\r\n".join([f"RTSP/1.0 {number} Word", "CSeq: 1", *headers]) + "\r\n\r\n"


@dataclass
class Camera:
    """Answers the first request with the first answer, and so on; hangs up after an empty one, or with RST."""

    answers: list[str]
    port: int = 0
    requests: list[str] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                answer = self.answers.pop(0)
                if answer == RESET:
                    reset(writer)
                if answer in {HANG_UP, RESET}:
                    break
                writer.write(answer.encode())
                await writer.drain()
                if self.answers[:1] == [RESET_UNASKED]:
                    self.answers.pop(0)
                    reset(writer)
                    break
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def source(self, username: str = "admin", password: str = PASSWORD) -> PinnedSource:
        return PinnedSource(RtspUrl("127.0.0.1", self.port, "/live", username, password))


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, NO_LINGER)
    writer.transport.abort()


@asynccontextmanager
async def camera(*answers: str) -> AsyncIterator[Camera]:
    script = Camera(list(answers))
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()


async def reason_for(*answers: str, timeout_s: float = 5.0) -> tuple[Reason, str]:
    async with camera(*answers) as script:
        with pytest.raises(FeedError) as caught:
            await describe(script.source(), timeout_s=timeout_s)
    assert caught.value.__cause__ is None
    assert PASSWORD not in str(caught.value)
    assert str(script.port) not in str(caught.value)
    return caught.value.reason, caught.value.detail


async def test_a_camera_that_offers_h264_is_fine() -> None:
    async with camera(ok()) as script:
        (await describe(script.source(), timeout_s=5)).close()
    (request,) = script.requests
    assert request.startswith(f"DESCRIBE rtsp://127.0.0.1:{script.port}/live RTSP/1.0\r\n")
    assert "Authorization" not in request


async def test_a_digest_login_is_answered_on_the_same_connection() -> None:
    async with camera(UNAUTHORIZED, ok()) as script:
        (await describe(script.source(), timeout_s=5)).close()
    assert script.connections == 1
    assert 'Authorization: Digest username="admin"' in script.requests[1]
    assert PASSWORD not in script.requests[1]


@pytest.mark.parametrize(
    "goodbye", [HANG_UP, RESET, RESET_UNASKED], ids=["hangs up", "resets when asked", "resets at once"]
)
async def test_a_camera_that_hangs_up_after_401_is_called_again(goodbye: str) -> None:
    async with camera(UNAUTHORIZED, goodbye, ok()) as script:
        (await describe(script.source(), timeout_s=5)).close()
    assert script.connections == 2


def test_a_request_on_a_connection_that_is_gone_says_so_on_the_loop_that_services_run_on() -> None:
    async def ask() -> None:
        async with camera(UNAUTHORIZED) as script:
            connection = await DescribeConnection.open(script.source().url)
            connection._writer.transport.abort()
            for _ in range(3):  # turns of the loop, until the connection is known to be gone
                await asyncio.sleep(0)
            await connection.request(1, "")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(ConnectionResetError):
        runner.run(ask())


async def test_an_aged_nonce_is_no_wrong_password() -> None:
    async with camera(UNAUTHORIZED, STALE, ok()) as script:
        (await describe(script.source(), timeout_s=5)).close()
    assert len(script.requests) == 3


async def test_a_wrong_password_is_sent_once() -> None:
    assert (await reason_for(UNAUTHORIZED, UNAUTHORIZED, ok()))[0] is Reason.WRONG_PASSWORD


async def test_a_nonce_that_is_always_stale_ends_somewhere() -> None:
    assert (await reason_for(UNAUTHORIZED, STALE, STALE, STALE, STALE))[0] is Reason.WRONG_PASSWORD


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(403), Reason.FORBIDDEN),
        (status(404), Reason.NO_SUCH_PATH),
        (status(453), Reason.CAMERA_BUSY),
        (status(503), Reason.CAMERA_BUSY),
        (status(500), Reason.CAMERA_ERROR),
        (ok(""), Reason.PROTOCOL_ERROR),
        (ok("<html>"), Reason.PROTOCOL_ERROR),
        ("HTTP/1.1 200 OK\r\n\r\n", Reason.PROTOCOL_ERROR),
        ("RTSP/1.0 2000 OK\r\n\r\n", Reason.PROTOCOL_ERROR),
        (status(200, "Content-Length: -1"), Reason.PROTOCOL_ERROR),
        (status(200, f"Content-Length: {MOST_BODY_BYTES + 1}"), Reason.PROTOCOL_ERROR),
        ("RTSP/1.0 200 OK\r\nX: " + "x" * MOST_HEAD_BYTES + "\r\n\r\n", Reason.PROTOCOL_ERROR),
        ("", Reason.DROPPED_BY_CAMERA),
    ],
)
async def test_answers_and_their_reasons(answer: str, reason: Reason) -> None:
    assert (await reason_for(answer, ""))[0] is reason


LOGIN = "root:Kesselflicker@"  # what a camera might write into a URL
PLACES = [
    ("rtsp://{login}127.0.0.9/geheim", "a loopback address"),
    ("rtsp://{login}[::1]/geheim", "a loopback address"),
    ("rtsp://{login}169.254.7.7/geheim", "a link local address"),
    ("rtsp://{login}169.254.169.254/geheim", "a metadata address"),
    ("rtsp://{login}10.20.30.40:8554/geheim", "a private address"),
    ("rtsp://{login}93.184.216.34/geheim", "a public address"),
    ("//{login}93.184.216.34/geheim", "a public address"),
    ("http://{login}10.20.30.40/geheim", "a private address"),
    ("rtsp://{login}[::ffff:127.0.0.1]/geheim", "a translated address"),
    ("rtsp://{login}cam.example/geheim", "a host name"),
    ("rtsp://127.0.0.1@cam.example/geheim", "a host name"),
    ("http://{login}127.0.0.1/geheim", "a scheme other than rtsp"),
    ("rtsp://[geheim", "an unreadable URL"),
    ("rtsp:///geheim", "an unreadable URL"),
]
"""Where a camera may try to send us, and all that its owner is told of it."""


def assert_says_only(detail: str, reason: Reason, seen: str, allowed: str) -> None:
    """Whole, so that nothing of the place itself can be in it."""
    assert detail == f"{TREATMENTS[reason].sentence} Seen: {seen}. Allowed: {allowed}."


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        *PLACES,
        ("rtsp://{login}127.0.0.1/geheim", "another place at the source's own address"),
        ("/geheim", "another place at the source's own address"),
    ],
)
async def test_a_redirect_is_refused_and_told_of_without_its_place(place: str, seen: str) -> None:
    reason, detail = await reason_for(status(302, f"Location: {place.format(login=LOGIN)}"))
    assert reason is Reason.REDIRECTED
    assert_says_only(detail, reason, seen, "only the source's own address, without a redirect")


async def test_a_redirect_to_nowhere_is_refused() -> None:
    reason, detail = await reason_for(status(305))
    assert_says_only(detail, reason, "no address", "only the source's own address, without a redirect")


@pytest.mark.parametrize(
    ("encoding", "seen"), [("97 H265/90000", "H265"), ("97 JPEG/90000", "JPEG"), ("97 \x1b[2J/1", "?")]
)
async def test_other_codecs_are_named_to_the_owner(encoding: str, seen: str) -> None:
    body = SDP.replace("RTP/AVP 96", "RTP/AVP 97").replace("96 H264/90000", encoding)
    reason, detail = await reason_for(ok(body))
    assert reason is Reason.UNSUPPORTED_CODEC
    assert detail.endswith(f"It offers {seen}.")


async def test_audio_alone_is_no_video() -> None:
    assert (await reason_for(ok(SDP.replace("m=video", "m=audio"))))[0] is Reason.NO_VIDEO


def in_sdp(place: str) -> str:
    return ok(SDP.replace("a=control:t", f"a=control:{place}"))


def in_session(place: str) -> str:
    return ok(SDP.replace("m=video", f"a=control:{place}\r\nm=video"))


def in_content_base(place: str) -> str:
    return ok(SDP, f"Content-Base: {place}")


@pytest.mark.parametrize("where", [in_sdp, in_session, in_content_base])
@pytest.mark.parametrize(("place", "seen"), PLACES)
async def test_a_description_that_leads_elsewhere_is_refused_and_told_of_without_its_place(
    where: Callable[[str], str], place: str, seen: str
) -> None:
    reason, detail = await reason_for(where(place.format(login=LOGIN)))
    assert reason is Reason.CONTROL_ELSEWHERE
    assert_says_only(detail, reason, seen, "only the source's own address")


async def test_every_kind_of_place_is_told_once() -> None:
    answer = ok(
        SDP, "Content-Base: rtsp://10.1.1.1/", "Content-Location: rtsp://10.1.1.2/", "Content-Base: rtsp://b/"
    )
    reason, detail = await reason_for(answer)
    assert_says_only(detail, reason, "a host name, a private address", "only the source's own address")


@pytest.mark.parametrize("place", ["rtsp://127.0.0.1/live/track1", "trackID=1", "*", "/live/track1"])
async def test_a_description_that_stays_is_fine(place: str) -> None:
    async with camera(in_sdp(place)) as script:
        (await describe(script.source(), timeout_s=5)).close()


async def test_a_camera_that_says_nothing_has_timed_out() -> None:
    async with camera() as script:
        hold = asyncio.Event()

        async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            hold.set()
            writer.close()

        server = await asyncio.start_server(be_silent, "127.0.0.1", 0)
        script.port = server.sockets[0].getsockname()[1]
        with pytest.raises(FeedError) as caught:
            await describe(script.source(), timeout_s=0.05)
        server.close()
        await hold.wait()
    assert caught.value.reason is Reason.TIMED_OUT


async def test_a_closed_port_is_unreachable() -> None:
    async with camera() as script:
        pass
    with pytest.raises(FeedError) as caught:
        (await describe(script.source(), timeout_s=5)).close()
    assert caught.value.reason is Reason.UNREACHABLE
