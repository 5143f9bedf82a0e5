import asyncio
import json
import re
from typing import Any

import pytest

from feedgate_tools.simulator.camera import Camera, Delivery, RtpSender
from feedgate_tools.simulator.clip import synthesise_clip
from feedgate_tools.simulator.connection import Connection
from feedgate_tools.simulator.control import Control
from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.digest import Credentials, digest_response
from feedgate_tools.simulator.encoder import Encoder
from feedgate_tools.simulator.outlet import Outlet
from feedgate_tools.simulator.rtp import pieces
from feedgate_tools.simulator.scene import Scene
from feedgate_tools.simulator.server import Server
from feedgate_tools.simulator.session import Session
from feedgate_tools.simulator.source import ClipSource
from feedgate_tools.simulator.timetable import Timetable

CLIP = synthesise_clip(
    Scene(width=128, height=96, name="test"),
    Encoder(width=128, height=96, fps=25, bits_per_second=100_000),
    groups=1,
    gop_pictures=2,
)
TCP = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"


class Transport(asyncio.Transport):
    """The client's end, where what was written can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_gone = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_gone

    def abort(self) -> None:
        self.is_gone = True

    close = abort

    def get_write_buffer_size(self) -> int:
        return 0


class Client:
    def __init__(self, server: Server) -> None:
        self.transport = Transport()
        self.connection: Connection = server.connection()
        self.connection.connection_made(self.transport)

    def ask(self, method: str, path: str = "/cam0", *headers: str) -> str:
        """Return the answer, or nothing if there was none."""
        self.transport.written.clear()
        lines = [f"{method} rtsp://camera{path} RTSP/1.0", "CSeq: 1", *headers]
        self.connection.data_received(("\r\n".join(lines) + "\r\n\r\n").encode())
        return b"".join(self.transport.written).decode()

    def status(self, method: str, path: str = "/cam0", *headers: str) -> int:
        return int(self.ask(method, path, *headers).split(" ")[1])


def serve(credentials: Credentials | None = None, *, has_audio: bool = False) -> Server:
    counts = Counts()
    cameras = {
        path: Camera(
            path,
            source=ClipSource(CLIP, first=0),
            timetable=Timetable(0.0, 25),
            spread=8,
            has_audio=has_audio,
            video=RtpSender(1, 2, 3),
            audio=RtpSender(4, 5, 6),
            counts=counts,
            unix_s=lambda: 0.0,
        )
        for path in ("/cam0", "/cam1")
    }
    return Server(cameras, credentials=credentials, session_timeout_s=60, counts=counts)


def command(server: Server, name: str, **arguments: Any) -> dict[str, object]:
    return Control(server).answer(json.dumps({"command": name, **arguments}).encode())


async def test_a_client_is_led_from_description_to_teardown_and_counted() -> None:
    server = serve()
    client = Client(server)
    methods = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN"
    assert methods in client.ask("OPTIONS")
    description = client.ask("DESCRIBE")
    assert "Content-Base: rtsp://camera/cam0/\r\n" in description
    assert "m=video 0 RTP/AVP 96\r\n" in description
    assert "packetization-mode=1;profile-level-id=64" in description
    assert "m=audio" not in description
    setup = client.ask("SETUP", "/cam0/trackID=1", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5")
    assert "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n" in setup
    found = re.search(r"Session: (\w+);timeout=60\r\n", setup)
    assert found
    session = f"Session: {found[1]}"
    counts = server.counts.paths["/cam0"]
    assert (counts.describes, counts.setups, counts.plays) == (1, {"video": 1, "audio": 0}, 0)
    assert client.status("PLAY", "/cam0/", session) == 200
    assert (counts.plays, counts.active_sessions) == (1, 1)
    assert client.status("GET_PARAMETER", "/cam0/", session) == 200
    assert client.status("PAUSE", "/cam0/", session) == 200
    assert counts.active_sessions == 0
    assert client.status("PLAY", "/cam0/", session) == 200
    assert client.status("TEARDOWN", "/cam0/", session) == 200
    assert counts.active_sessions == 0
    assert server.counts.paths["/cam1"].describes == 0


@pytest.mark.parametrize(
    ("method", "path", "header", "status"),
    [
        pytest.param("DESCRIBE", "/nowhere", "A: b", 404, id="no such camera"),
        pytest.param("SETUP", "/cam0/trackID=9", TCP, 404, id="no such track"),
        pytest.param("SETUP", "/cam0/trackID=2", TCP, 404, id="a camera without sound"),
        pytest.param("SETUP", "/cam0/trackID=1", "Transport: RTP/AVP;unicast", 461, id="UDP"),
        pytest.param("PLAY", "/cam0", "A: b", 455, id="nothing set up"),
        pytest.param("PLAY", "/cam0", "Session: 123", 454, id="somebody else's session"),
        pytest.param("RECORD", "/cam0", "A: b", 501, id="not a recorder"),
    ],
)
async def test_what_cannot_be_is_refused(method: str, path: str, header: str, status: int) -> None:
    assert Client(serve()).status(method, path, header) == status


async def test_a_session_plays_no_other_camera_than_the_one_it_set_up() -> None:
    client = Client(serve())
    assert client.status("SETUP", "/cam0/trackID=1", TCP) == 200
    assert client.status("PLAY", "/cam1") == 455


async def test_what_is_not_rtsp_ends_the_connection() -> None:
    client = Client(serve())
    client.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert client.transport.written == [b"RTSP/1.0 400 Bad Request\r\n\r\n"]
    assert client.transport.is_gone


async def test_only_who_knows_the_password_learns_whether_there_is_a_camera() -> None:
    right = Credentials("admin", "secret")
    server = serve(right)
    client = Client(server)
    challenge = re.search(r'Digest realm="([^"]+)", nonce="([^"]+)"', client.ask("DESCRIBE"))
    assert challenge
    assert client.status("DESCRIBE", "/nowhere") == 401

    def login(credentials: Credentials, path: str) -> int:
        realm, nonce = challenge.groups() if challenge else ("", "")
        uri = f"rtsp://camera{path}"
        answer = digest_response(credentials, realm, nonce, "DESCRIBE", uri)
        header = f'username="{credentials.user}", realm="{realm}", nonce="{nonce}", uri="{uri}"'
        return client.status("DESCRIBE", path, f'Authorization: Digest {header}, response="{answer}"')

    assert login(Credentials("admin", "guess"), "/cam0") == 401
    assert login(right, "/nowhere") == 404
    assert login(right, "/cam0") == 200
    command(server, "refuse-auth")
    assert login(right, "/cam0") == 401
    command(server, "resume")
    assert login(right, "/cam0") == 200


async def test_audio_is_offered_and_counted_apart() -> None:
    server = serve(has_audio=True)
    client = Client(server)
    assert "m=audio 0 RTP/AVP 0\r\n" in client.ask("DESCRIBE")
    assert client.status("SETUP", "/cam0/trackID=2", TCP) == 200
    assert server.counts.paths["/cam0"].setups == {"video": 0, "audio": 1}


async def test_a_description_can_send_a_client_elsewhere() -> None:
    server = serve()
    client = Client(server)
    command(server, "redirect", path="/cam0", url="rtsp://elsewhere/")
    assert client.ask("DESCRIBE") == "RTSP/1.0 302 Found\r\nCSeq: 1\r\nLocation: rtsp://elsewhere/\r\n\r\n"
    assert client.status("DESCRIBE", "/cam1") == 200
    command(server, "resume")
    for level, line in (
        ("track", "a=control:rtsp://elsewhere/trackID=1\r\n"),
        ("session", "a=control:rtsp://elsewhere/\r\n"),
        ("content-base", "Content-Base: rtsp://elsewhere/\r\n"),
    ):
        command(server, "control-elsewhere", url="rtsp://elsewhere", level=level)
        assert line in client.ask("DESCRIBE")
        assert client.ask("DESCRIBE").count("elsewhere") == 1


async def test_a_frozen_camera_says_nothing_until_it_is_resumed() -> None:
    server = serve()
    client, other = Client(server), Client(server)
    assert client.status("OPTIONS") == 200
    command(server, "freeze", path="/cam0")
    assert not client.ask("OPTIONS")
    assert not Client(server).ask("DESCRIBE")
    assert other.status("DESCRIBE", "/cam1") == 200
    assert not client.transport.is_gone
    command(server, "resume", path="/cam0")
    assert b"".join(client.transport.written).startswith(b"RTSP/1.0 200 OK")


async def test_a_camera_that_drops_hangs_up_on_its_own_clients_only() -> None:
    server = serve()
    client, other = Client(server), Client(server)
    client.ask("OPTIONS", "/cam0")
    other.ask("OPTIONS", "/cam1")
    command(server, "drop", path="/cam0", refuse_s=1000)
    assert (client.transport.is_gone, other.transport.is_gone) == (True, False)
    again = Client(server)
    assert not again.ask("OPTIONS", "/cam0")
    assert again.transport.is_gone
    command(server, "drop", refuse_s=1000)
    assert other.transport.is_gone
    assert Client(server).transport.is_gone
    assert server.counts.connections_refused == 2
    command(server, "resume")
    assert Client(server).status("OPTIONS") == 200


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"freeze", "Expecting value"),
        (b"[]", "JSON object"),
        (b'{"command": "explode"}', "command `explode`; allowed freeze, "),
        (b'{"command": "freeze", "path": "/cam9"}', "path `/cam9`; allowed /cam0, /cam1"),
        (b'{"command": "freeze", "paht": "/cam0"}', "unknown fields paht"),
        (b'{"command": "drop", "refuse_s": "long"}', "`refuse_s` must be a number"),
        (b'{"command": "redirect"}', "`url` must be a text"),
        (b'{"command": "control-elsewhere", "url": "rtsp://a/", "level": "x"}', "ControlLevel"),
    ],
    ids=str,
)
async def test_a_command_that_is_not_understood_is_refused_with_the_reason(line: bytes, says: str) -> None:
    answer = Control(serve()).answer(line)
    assert answer.keys() == {"error"}
    assert says in str(answer["error"])


async def test_counts_travel_as_json() -> None:
    server = serve()
    Client(server).ask("DESCRIBE", "/cam1")
    counts = server.stats()
    assert Counts.from_json(json.loads(json.dumps(command(server, "stats")["ok"]))) == counts


async def test_a_picture_is_written_in_eight_pieces_and_an_answer_waits_for_its_end() -> None:
    transport = Transport()
    outlet = Outlet(transport)
    parts = pieces(bytes(range(80)), 8)
    delivery = Delivery([Session(outlet)], [parts], over_s=0.0)
    outlet.write_between_pictures(b"an answer")
    await delivery.finished()
    assert transport.written == [*map(bytes, parts), b"an answer"]


async def test_a_picture_interrupted_by_a_freeze_is_finished_afterwards() -> None:
    transport = Transport()
    outlet = Outlet(transport)
    parts = pieces(bytes(range(80)), 8)
    delivery = Delivery([Session(outlet)], [parts], over_s=0.0)
    outlet.hold()
    await delivery.finished()
    assert len(transport.written) == 1
    outlet.write_between_pictures(b"an answer")
    outlet.release()
    assert b"".join(transport.written) == bytes(range(80)) + b"an answer"


async def test_a_client_that_hangs_up_within_a_picture_stops_nobody() -> None:
    gone, there = Transport(), Transport()
    parts = pieces(bytes(80), 8)
    delivery = Delivery([Session(Outlet(gone)), Session(Outlet(there))], [parts, parts], over_s=0.0)
    gone.abort()
    await delivery.finished()
    assert (len(gone.written), len(there.written)) == (1, 8)
