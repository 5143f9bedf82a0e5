"""Puts a simulator together and runs it until it is told to end."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from feedgate_tools.simulator.camera import Camera, RtpSender
from feedgate_tools.simulator.clip import synthesise_clip
from feedgate_tools.simulator.control import Control, ControlConnection
from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.digest import Credentials
from feedgate_tools.simulator.encoder import Encoder
from feedgate_tools.simulator.scene import Scene
from feedgate_tools.simulator.server import Server
from feedgate_tools.simulator.settings import Settings
from feedgate_tools.simulator.source import ClipSource, LiveSource, PictureSource
from feedgate_tools.simulator.timetable import Timetable


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, or until standard input is closed if so set."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        if settings.exit_with_parent:
            await loop.connect_read_pipe(lambda: _Parent(ended), sys.stdin)
        executor = stack.enter_context(ThreadPoolExecutor(1, "encoder"))
        server = _server(settings, _sources(settings, executor))
        rtsp = await loop.create_server(server.connection, settings.host, settings.port)
        stack.callback(rtsp.close)
        commands = Control(server)
        control = await loop.create_server(
            lambda: ControlConnection(commands), "127.0.0.1", settings.control_port
        )
        stack.callback(control.close)
        listening = {
            "rtsp_port": rtsp.sockets[0].getsockname()[1],
            "control_port": control.sockets[0].getsockname()[1],
            "paths": list(server.cameras),
        }
        print(json.dumps(listening), flush=True)  # noqa: T201 - this line is the interface to the parent
        serving = asyncio.create_task(server.run())
        ending = asyncio.create_task(ended.wait())
        await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
        for task in (serving, ending):
            task.cancel()
        server.hang_up()
        for outcome in await asyncio.gather(serving, ending, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


def _server(settings: Settings, sources: list[PictureSource]) -> Server:
    now_s = asyncio.get_running_loop().time()
    counts = Counts()
    cameras = {}
    for index, source in enumerate(sources):
        path = f"/cam{index}"
        # Out of step: cameras of one street do not take their pictures at the same moment.
        began_s = now_s + index / len(sources) / settings.fps
        cameras[path] = Camera(
            path,
            source=source,
            timetable=Timetable(began_s, settings.fps),
            spread=settings.spread,
            has_audio=settings.audio,
            video=_rtp_sender(),
            audio=_rtp_sender(),
            counts=counts,
            unix_s=time.time,
        )
    credentials = Credentials(settings.user, settings.password) if settings.user else None
    return Server(
        cameras, credentials=credentials, session_timeout_s=settings.session_timeout_s, counts=counts
    )


def _sources(settings: Settings, executor: Executor) -> list[PictureSource]:
    if not settings.clip:
        return [_live_source(settings, f"cam{index}", executor) for index in range(settings.cameras)]
    scene = Scene(width=settings.width, height=settings.height, name="clip")
    groups, gop_pictures = settings.clip_groups, settings.gop_pictures
    clip = synthesise_clip(scene, _encoder(settings), groups=groups, gop_pictures=gop_pictures)
    # Out of step in the group of pictures, too: keyframes are large, and must not all come at once.
    return [
        ClipSource(clip, first=index * gop_pictures // settings.cameras) for index in range(settings.cameras)
    ]


def _live_source(settings: Settings, name: str, executor: Executor) -> LiveSource:
    return LiveSource(
        Scene(width=settings.width, height=settings.height, name=name),
        _encoder(settings),
        fps=settings.fps,
        gop_pictures=settings.gop_pictures,
        keyframe_at_join=not settings.wait_for_keyframe,
        now=lambda: datetime.now(UTC),
        executor=executor,
    )


def _encoder(settings: Settings) -> Encoder:
    return Encoder(
        width=settings.width,
        height=settings.height,
        fps=settings.fps,
        bits_per_second=settings.bits_per_second,
        slices=settings.slices,
    )


def _rtp_sender() -> RtpSender:
    """Return a sender with random beginnings, RFC 3550 §5.1."""
    return RtpSender(
        ssrc=secrets.randbits(32), sequence=secrets.randbits(16), first_timestamp=secrets.randbits(32)
    )


class _Parent(asyncio.Protocol):
    """The other end of standard input, whose closing is the parent's end, however it came."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()
