"""RTSP cameras of an independent make: GStreamer's server in a process of its own."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tests.servers.machine import DEBIAN_PYTHON
from tests.servers.process import ServerProcess

SCRIPT = Path(__file__).with_name("gstreamer_server.py")

Codec = Literal["h264", "h265", "mjpeg"]
Auth = Literal["none", "basic", "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the camera shows and how it codes it."""

    codec: Codec = "h264"
    audio: bool = False
    auth: Auth = "none"
    path: str = "/live"
    width: int = 320
    height: int = 240
    rate: int = 25
    gop: int = 25


class GStreamerCamera:
    """A camera that says on its log which tracks were set up."""

    username = "camera"

    def __init__(self, folder: Path, scene: Scene) -> None:
        mark = secrets.token_hex(4)
        self.scene = scene
        self.password = secrets.token_urlsafe(12)
        self.process = ServerProcess(
            "gstreamer",
            [
                *(DEBIAN_PYTHON, "-u", SCRIPT, "--codec", scene.codec, "--path", scene.path),
                *("--width", str(scene.width), "--height", str(scene.height)),
                *("--rate", str(scene.rate), "--gop", str(scene.gop)),
                *(("--audio",) if scene.audio else ()),
                *("--auth", scene.auth, "--username", self.username),
            ],
            folder / f"gstreamer-{mark}.log",
            environment={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "GST_REGISTRY": str(folder / "gstreamer.registry"),
                "FEEDGATE_TEST_CAMERA_PASSWORD": self.password,
            },
        )

    def start(self) -> None:
        """Return when the camera listens."""
        self.process.start()
        self.process.wait_until(lambda: bool(self.events("listening")))

    @property
    def port(self) -> int:
        return int(str(self.events("listening")[0]["port"]))

    @property
    def address(self) -> str:
        """The URL without credentials."""
        return f"rtsp://127.0.0.1:{self.port}{self.scene.path}"

    @property
    def url(self) -> str:
        """The URL as an owner would type it, with credentials if it asks for them."""
        if self.scene.auth == "none":
            return self.address
        return self.address.replace("://", f"://{self.username}:{self.password}@")

    def events(self, event: str) -> list[Mapping[str, object]]:
        """What the camera saw of one kind: connected, describe, setup, play, teardown, closed."""
        if not self.process.log.exists():
            return []
        lines = self.process.log.read_text(encoding="utf-8", errors="replace").splitlines()
        facts = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [fact for fact in facts if fact["event"] == event]

    def tracks_set_up(self) -> set[str]:
        """The control paths any client has set up: one per track."""
        return {str(fact["path"]) for fact in self.events("setup")}

    def end(self) -> None:
        self.process.end()


class StartGStreamerCamera(Protocol):
    """Starts a camera; what is not said is H.264 without audio or password."""

    def __call__(
        self,
        *,
        codec: Codec = "h264",
        audio: bool = False,
        auth: Auth = "none",
        path: str = "/live",
        gop: int = 25,
    ) -> GStreamerCamera: ...
