"""H.264 as a camera codes it: no B-frames, no delay, a keyframe when it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from feedgate_tools.simulator.picture_number import Image

# H.264 table 7-1.
SLICE = 1
SLICE_IDR = 5
SPS = 7
PPS = 8

_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
"""H.264 Annex B; emulation prevention (7.4.1) keeps it out of a NAL unit's own bytes."""


def nal_unit_type(nal_unit: bytes) -> int:
    """Return nal_unit_type, H.264 7.3.1."""
    return nal_unit[0] & 0x1F


def split_annex_b(data: bytes) -> list[bytes]:
    """Return the NAL units of a byte stream, without start codes and trailing zeros (H.264 Annex B.1)."""
    return [unit for unit in (part.rstrip(b"\x00") for part in _START_CODE.split(data)) if unit]


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """What a decoder must know before the first picture."""

    sps: bytes
    pps: bytes


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One access unit: its NAL units in order; a keyframe begins with its parameter sets."""

    nal_units: tuple[bytes, ...]
    is_random_access_point: bool


class Encoder:
    """One x264 encoder. Not safe to share between threads that run at the same time."""

    def __init__(self, *, width: int, height: int, fps: int, bits_per_second: int, slices: int = 1) -> None:
        context = VideoCodecContext.create("libx264", "w")
        context.width = width
        context.height = height
        context.pix_fmt = "yuv420p"
        context.framerate = Fraction(fps)
        context.time_base = Fraction(1, fps)
        context.bit_rate = bits_per_second
        context.flags |= Flags.global_header
        context.thread_count = 1
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            # A second of buffer, as a camera set to a constant bit rate keeps.
            "maxrate": str(bits_per_second),
            "bufsize": str(bits_per_second),
            # Keyframes come only when asked for; x264 makes several slices a picture unless told otherwise.
            "x264-params": f"keyint=infinite:scenecut=0:bframes=0:sliced-threads=0:slices={slices}",
        }
        context.open()
        self._context = context
        headers = {nal_unit_type(unit): unit for unit in split_annex_b(context.extradata or b"")}
        self.parameter_sets = ParameterSets(sps=headers[SPS], pps=headers[PPS])

    def encode(self, image: Image, number: int, *, keyframe: bool) -> CodedPicture:
        """Return `image` coded.

        Args:
            image: (height, width, 3) uint8 BGR of the encoder's size.
            number: strictly increasing from call to call; rate control reads it as time.
            keyframe: code an IDR picture. The first picture is one in any case.
        """
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
        frame = VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = number
        frame.time_base = self._context.time_base
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        slices = tuple(
            unit
            for packet in self._context.encode(frame)
            for unit in split_annex_b(bytes(packet))
            if nal_unit_type(unit) in {SLICE, SLICE_IDR}
        )
        if not slices:
            raise av.error.InvalidDataError(0, f"the encoder kept picture `{number}` back")
        if nal_unit_type(slices[0]) != SLICE_IDR:
            return CodedPicture(slices, is_random_access_point=False)
        sets = self.parameter_sets
        return CodedPicture((sets.sps, sets.pps, *slices), is_random_access_point=True)
