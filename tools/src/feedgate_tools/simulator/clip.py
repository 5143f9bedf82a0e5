"""A clip coded and packetized once, for many cameras to loop."""

from __future__ import annotations

from dataclasses import dataclass

from feedgate_tools.simulator.encoder import Encoder, ParameterSets
from feedgate_tools.simulator.rtp import PacketizedPicture, packetize
from feedgate_tools.simulator.scene import Scene


@dataclass(frozen=True, slots=True)
class Clip:
    """Whole groups of pictures, the first one a keyframe, so that the end joins the beginning."""

    parameter_sets: ParameterSets
    pictures: tuple[PacketizedPicture, ...]
    gop_pictures: int


def synthesise_clip(scene: Scene, encoder: Encoder, *, groups: int, gop_pictures: int) -> Clip:
    """Return `groups` groups of pictures of `scene`, numbered in the strip from 0."""
    pictures = tuple(
        packetize(encoder.encode(scene.draw(number, None), number, keyframe=number % gop_pictures == 0))
        for number in range(groups * gop_pictures)
    )
    return Clip(encoder.parameter_sets, pictures, gop_pictures)
