"""The RTSP server: its cameras, its connections, and what a command does to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from feedgate_tools.simulator.camera import Camera
from feedgate_tools.simulator.connection import Connection
from feedgate_tools.simulator.counts import Counts
from feedgate_tools.simulator.digest import Credentials, DigestChallenge
from feedgate_tools.simulator.faults import ControlLevel, Faults


class UnknownPathError(Exception):
    """No camera has the path a command names; nothing was changed."""


class Server:
    """Serves every camera on one port; all of it runs in one event loop."""

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        *,
        credentials: Credentials | None,
        session_timeout_s: float,
        counts: Counts,
    ) -> None:
        """Build it inside a running loop.

        Args:
            cameras: by path.
            credentials: what every camera asks for, or None where anybody may look.
            session_timeout_s: a client silent for longer is hung up on (RFC 2326 §12.37).
            counts: the ones the cameras count in.
        """
        self.cameras = cameras
        self.session_timeout_s = session_timeout_s
        self.counts = counts
        self.challenge_of_refusal = DigestChallenge(Credentials("nobody", ""))
        self._credentials = credentials
        self._connections: set[Connection] = set()
        self._refuses_until_s = 0.0
        self._loop = asyncio.get_running_loop()

    def connection(self) -> Connection:
        challenge = None if self._credentials is None else DigestChallenge(self._credentials)
        return Connection(self, challenge)

    def now_s(self) -> float:
        return self._loop.time()

    def opened(self, connection: Connection) -> None:
        """Take in a new connection, or close it while all cameras refuse."""
        connection.heard_at_s = self.now_s()
        if self.now_s() < self._refuses_until_s:
            self.counts.connections_refused += 1
            connection.outlet.abort()
            return
        self.counts.connections_accepted += 1
        self._connections.add(connection)
        self.counts.connections_open = len(self._connections)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.counts.connections_open = len(self._connections)

    def admits(self, connection: Connection, camera: Camera) -> bool:
        """Bind `connection` to the camera it asks for; a camera that refuses closes it instead."""
        if self.now_s() < camera.faults.refuses_until_s:
            self.counts.connections_refused += 1
            connection.outlet.abort()
            return False
        if connection.session is None:
            connection.camera = camera
        if camera.faults.is_frozen:
            connection.outlet.hold()
        return True

    async def run(self) -> None:
        """Run the cameras, and hang up on clients that have fallen silent."""
        async with asyncio.TaskGroup() as tasks:
            for camera in self.cameras.values():
                tasks.create_task(camera.run(), name=camera.path)
            tasks.create_task(self._hang_up_on_the_silent(), name="sessions")

    def hang_up(self) -> None:
        """Close every connection at once."""
        for connection in list(self._connections):
            connection.outlet.abort()

    async def _hang_up_on_the_silent(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.session_timeout_s))
            oldest_s = self.now_s() - self.session_timeout_s
            for connection in list(self._connections):
                if connection.heard_at_s < oldest_s:
                    connection.outlet.abort()

    # Commands. Each concerns one camera, or all where `path` is None.

    def freeze(self, path: str | None) -> None:
        """Write nothing more, not even answers; keep the connections and what was begun."""
        for camera in self._chosen(path):
            camera.faults.is_frozen = True
            camera.reconsider()
            for connection in self._of(camera):
                connection.outlet.hold()

    def drop(self, path: str | None, refuse_s: float) -> None:
        """Close the connections, and close new ones unanswered for `refuse_s`."""
        until_s = self.now_s() + refuse_s
        if path is None:
            self._refuses_until_s = until_s
            self.hang_up()
            return
        for camera in self._chosen(path):
            camera.faults.refuses_until_s = until_s
            for connection in self._of(camera):
                connection.outlet.abort()

    def refuse_credentials(self, path: str | None) -> None:
        """Answer 401 whatever the password; who plays, plays on."""
        for camera in self._chosen(path):
            camera.faults.refuses_credentials = True

    def withhold_keyframes(self, path: str | None) -> None:
        """Send only pictures that need another one, also to those who have just joined."""
        for camera in self._chosen(path):
            camera.faults.withholds_keyframes = True

    def redirect(self, path: str | None, url: str) -> None:
        """Answer DESCRIBE with 302 and `url`."""
        for camera in self._chosen(path):
            camera.faults.redirects_to = url

    def control_elsewhere(self, path: str | None, url: str, level: ControlLevel) -> None:
        """Describe the camera as controlled under `url`."""
        for camera in self._chosen(path):
            camera.faults.control_elsewhere = url
            camera.faults.control_level = level

    def resume(self, path: str | None) -> None:
        """Undo every fault; after keyframes were withheld or nothing was written, wait for a keyframe."""
        if path is None:
            self._refuses_until_s = 0.0
        for camera in self._chosen(path):
            if camera.faults.is_frozen or camera.faults.withholds_keyframes:
                camera.wait_for_keyframe()
            camera.faults = Faults()
            for connection in self._of(camera):
                connection.outlet.release()
            camera.reconsider()

    def stats(self) -> Counts:
        self.counts.cpu_s = time.process_time()
        return self.counts

    def _chosen(self, path: str | None) -> list[Camera]:
        if path is None:
            return list(self.cameras.values())
        if path not in self.cameras:
            raise UnknownPathError(f"path `{path}`; allowed {', '.join(self.cameras)}")
        return [self.cameras[path]]

    def _of(self, camera: Camera) -> Iterator[Connection]:
        return (connection for connection in list(self._connections) if connection.camera is camera)
