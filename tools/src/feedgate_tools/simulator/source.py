"""Where a camera's pictures come from: drawn now, or out of a clip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import Protocol

from feedgate_tools.simulator.clip import Clip
from feedgate_tools.simulator.encoder import Encoder, ParameterSets
from feedgate_tools.simulator.rtp import PacketizedPicture, packetize
from feedgate_tools.simulator.scene import Scene


class PictureSource(Protocol):
    """Makes the pictures of one camera, in order."""

    @property
    def parameter_sets(self) -> ParameterSets: ...

    @property
    def patience_s(self) -> float:
        """How late a picture may still be made."""
        ...

    @property
    def refers_to_skipped(self) -> bool:
        """Whether a picture may need one that was left out before it."""
        ...

    def strip_number(self, number: int) -> int:
        """Return the number that stands in the strip of picture `number` of the timetable."""
        ...

    async def picture(
        self, number: int, *, keyframe_wanted: bool, keyframes_withheld: bool
    ) -> PacketizedPicture:
        """Return picture `number`.

        Args:
            number: greater than that of the call before.
            keyframe_wanted: somebody waits for one. A clip cannot help it.
            keyframes_withheld: do not make one. A clip cannot help that either; the caller looks.
        """
        ...


class LiveSource:
    """A scene drawn and coded at the moment it is asked for."""

    def __init__(
        self,
        scene: Scene,
        encoder: Encoder,
        *,
        fps: int,
        gop_pictures: int,
        keyframe_at_join: bool,
        now: Callable[[], datetime],
        executor: Executor,
    ) -> None:
        """Build it.

        Args:
            scene: what is seen.
            encoder: this source's own.
            fps: pictures a second.
            gop_pictures: a keyframe comes at the latest after so many.
            keyframe_at_join: whether one who waits is given a keyframe out of turn, at most two a second.
            now: true UTC.
            executor: where drawing and coding take place.
        """
        self.parameter_sets = encoder.parameter_sets
        self.patience_s = 1 / fps
        self.refers_to_skipped = False
        self._scene = scene
        self._encoder = encoder
        self._gop_pictures = gop_pictures
        self._least_distance = max(1, fps // 2)
        self._keyframe_at_join = keyframe_at_join
        self._now = now
        self._executor = executor
        self._since_keyframe = gop_pictures
        # What is drawn first takes longest (fonts are loaded), and no picture is due yet.
        scene.draw(0, now())

    def strip_number(self, number: int) -> int:
        return number

    async def picture(
        self, number: int, *, keyframe_wanted: bool, keyframes_withheld: bool
    ) -> PacketizedPicture:
        out_of_turn = (
            self._keyframe_at_join and keyframe_wanted and self._since_keyframe >= self._least_distance
        )
        in_turn = self._since_keyframe >= self._gop_pictures
        keyframe = (in_turn or out_of_turn) and not keyframes_withheld
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._executor, self._make, number, keyframe)
        self._since_keyframe = 1 if picture.is_random_access_point else self._since_keyframe + 1
        return picture

    def _make(self, number: int, keyframe: bool) -> PacketizedPicture:
        image = self._scene.draw(number, self._now())
        return packetize(self._encoder.encode(image, number, keyframe=keyframe))


class ClipSource:
    """A clip that begins anew when it is over."""

    patience_s = 1.0
    refers_to_skipped = True

    def __init__(self, clip: Clip, *, first: int) -> None:
        """Begin with picture `first` of the clip."""
        self.parameter_sets = clip.parameter_sets
        self._pictures = clip.pictures
        self._first = first

    def strip_number(self, number: int) -> int:
        return (self._first + number) % len(self._pictures)

    async def picture(
        self, number: int, *, keyframe_wanted: bool, keyframes_withheld: bool
    ) -> PacketizedPicture:
        del keyframe_wanted, keyframes_withheld
        return self._pictures[self.strip_number(number)]
