"""One client's RTSP connection."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feedgate_tools.simulator.camera import Camera
from feedgate_tools.simulator.digest import DigestChallenge
from feedgate_tools.simulator.faults import ControlLevel
from feedgate_tools.simulator.outlet import Outlet
from feedgate_tools.simulator.rtsp import MalformedRequestError, Request, RequestReader, Status, response
from feedgate_tools.simulator.sdp import Track, session_description
from feedgate_tools.simulator.session import Session

if TYPE_CHECKING:
    from feedgate_tools.simulator.server import Server

_INTERLEAVED = re.compile(r"interleaved=(\d{1,3})-(\d{1,3})")
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN"


class Connection(asyncio.Protocol):
    """Answers the requests of one client; its session, if it has one, ends with it."""

    def __init__(self, server: Server, challenge: DigestChallenge | None) -> None:
        self.camera: Camera | None = None
        self.session: Session | None = None
        self.outlet: Outlet
        self.heard_at_s = 0.0
        self._server = server
        self._challenge = challenge
        self._reader = RequestReader()
        self._answers: dict[str, Callable[[Request, Camera], None]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "GET_PARAMETER": self._get_parameter,
            "TEARDOWN": self._teardown,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.outlet = Outlet(transport)
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end_session()
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at_s = self._server.now_s()
        try:
            for request in self._reader.feed(data):
                self._answer(request)
        except MalformedRequestError as error:
            self._server.counts.malformed += 1
            print(f"hung up on a client: {error}", file=sys.stderr, flush=True)  # noqa: T201 - a tool's only log
            self.outlet.write_between_pictures(response(Status.BAD_REQUEST, None, {}))
            self.outlet.transport.close()

    def _answer(self, request: Request) -> None:
        path, _ = split_url(request.url)
        camera = self._server.cameras.get(path)
        if camera is not None and not self._server.admits(self, camera):
            return
        answer = self._answers.get(request.method)
        if answer is None:
            self._respond(Status.NOT_IMPLEMENTED, request, Public=_METHODS)
        elif request.method == "OPTIONS":
            # Cameras answer OPTIONS to anybody; it is how clients find out that they are there.
            self._respond(Status.OK, request, Public=_METHODS)
        elif not self._is_authorized(request, camera):
            self._refuse(request, camera)
        elif camera is None:
            self._server.counts.not_found += 1
            self._respond(Status.NOT_FOUND, request)
        elif self._names_another_session(request):
            self._respond(Status.SESSION_NOT_FOUND, request)
        elif camera is not self.camera:
            self._respond(Status.METHOD_NOT_VALID_IN_THIS_STATE, request)
        else:
            answer(request, camera)

    def _is_authorized(self, request: Request, camera: Camera | None) -> bool:
        if camera is not None and camera.faults.refuses_credentials:
            return False
        challenge = self._challenge
        return challenge is None or challenge.is_met(request.headers.get("authorization"), request.method)

    def _refuse(self, request: Request, camera: Camera | None) -> None:
        if camera is not None:
            camera.counts.unauthorized += 1
        challenge = self._challenge or self._server.challenge_of_refusal
        self._respond(Status.UNAUTHORIZED, request, **{"WWW-Authenticate": challenge.header()})

    def _names_another_session(self, request: Request) -> bool:
        named = request.headers.get("session", "").partition(";")[0].strip()
        return bool(named) and (self.session is None or named != self.session.session_id)

    def _options(self, request: Request, camera: Camera) -> None:
        del camera
        self._respond(Status.OK, request, Public=_METHODS)

    def _describe(self, request: Request, camera: Camera) -> None:
        camera.counts.describes += 1
        faults = camera.faults
        if faults.redirects_to is not None:
            self._respond(Status.FOUND, request, Location=faults.redirects_to)
            return
        here = request.url.rstrip("/") + "/"
        elsewhere = faults.control_elsewhere
        level = faults.control_level
        away = elsewhere.rstrip("/") + "/" if elsewhere is not None else here
        description = session_description(
            parameter_sets=camera.source.parameter_sets,
            fps=camera.timetable.fps,
            has_audio=camera.has_audio,
            session_control=away if elsewhere is not None and level is ControlLevel.SESSION else "*",
            track_base=away if elsewhere is not None and level is ControlLevel.TRACK else "",
        )
        base = away if level is ControlLevel.CONTENT_BASE else here
        headers = {"Content-Base": base, "Content-Type": "application/sdp"}
        self._respond(Status.OK, request, description, **headers)

    def _setup(self, request: Request, camera: Camera) -> None:
        _, track = split_url(request.url)
        if track is None or (track is Track.AUDIO and not camera.has_audio):
            self._server.counts.not_found += 1
            self._respond(Status.NOT_FOUND, request)
            return
        transport = request.headers.get("transport", "")
        if not transport.upper().startswith("RTP/AVP/TCP"):
            self._respond(Status.UNSUPPORTED_TRANSPORT, request)
            return
        camera.counts.setups[track.name.lower()] += 1
        if self.session is None:
            self.session = Session(self.outlet)
        asked = _INTERLEAVED.search(transport)
        channel = int(asked[1]) if asked else 2 * len(self.session.channels)
        self.session.channels[track] = channel & 0xFE
        self._respond(
            Status.OK,
            request,
            Transport=f"RTP/AVP/TCP;unicast;interleaved={channel & 0xFE}-{channel | 1}",
            Session=f"{self.session.session_id};timeout={round(self._server.session_timeout_s)}",
        )

    def _play(self, request: Request, camera: Camera) -> None:
        if self.session is None:
            self._respond(Status.METHOD_NOT_VALID_IN_THIS_STATE, request)
            return
        camera.counts.plays += 1
        # No RTP-Info (RFC 2326 §12.33, optional): which packet comes first is known with the keyframe.
        self._respond(Status.OK, request, Session=self.session.session_id, Range="npt=now-")
        camera.join(self.session)

    def _pause(self, request: Request, camera: Camera) -> None:
        if self.session is None:
            self._respond(Status.METHOD_NOT_VALID_IN_THIS_STATE, request)
            return
        camera.leave(self.session)
        self._respond(Status.OK, request, Session=self.session.session_id)

    def _get_parameter(self, request: Request, camera: Camera) -> None:
        """Answer a client that wants to be known as alive, RFC 2326 §10.8."""
        del camera
        self._respond(Status.OK, request, **self._session_header())

    def _teardown(self, request: Request, camera: Camera) -> None:
        camera.counts.teardowns += 1
        headers = self._session_header()
        self._end_session()
        self._respond(Status.OK, request, **headers)

    def _session_header(self) -> dict[str, str]:
        return {} if self.session is None else {"Session": self.session.session_id}

    def _end_session(self) -> None:
        if self.session is not None and self.camera is not None:
            self.camera.leave(self.session)
        self.session = None

    def _respond(self, status: Status, request: Request, body: str = "", /, **headers: str) -> None:
        self.outlet.write_between_pictures(response(status, request, headers, body))


def split_url(url: str) -> tuple[str, Track | None]:
    """Return the camera's path and the track that a request's URL names."""
    path = urlsplit(url).path.rstrip("/")
    for track in Track:
        if path.endswith(f"/{track}"):
            return path.removesuffix(f"/{track}"), track
    return path, None
