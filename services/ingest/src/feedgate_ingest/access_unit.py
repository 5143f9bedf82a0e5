"""One coded picture, placed in its stream and in time."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from feedgate_kit.errors import FeedgateError

TICKS_PER_SECOND = 90_000  # H.264 over RTP, RFC 6184 §5.1

_STREAM = re.compile(r"(?P<camera>[0-9a-zA-Z-]{1,64})/(?P<rendition>[a-z]{1,32})")


class StreamNameError(FeedgateError):
    """A stream's name is not `<camera id>/<rendition>`."""


class Rendition(StrEnum):
    """How a stream was made from its camera's pictures."""

    ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class Stream:
    """A camera in one rendition; `str` of it is the key on the bus."""

    camera_id: str
    rendition: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """The stream of that name.

        Raises:
            StreamNameError: it is no stream's name.
        """
        matched = _STREAM.fullmatch(name)
        if matched is None:
            raise StreamNameError(f"stream `{name[:120]}`; allowed `<camera id>/<rendition>`")
        return cls(matched["camera"], matched["rendition"])

    def __str__(self) -> str:
        return f"{self.camera_id}/{self.rendition}"


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """Who is in charge of a camera; a later one outranks every run of an earlier one."""

    pool_version: int  # of the camera record that named the pool
    generation: int  # of the pool's consumer group


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """Fixed once made: its digest covers it and every picture of the run before it."""

    stream: str
    epoch: Epoch
    run: bytes  # UUIDv7; times of two runs do not compare
    sequence: int  # from 0 in each run; a gap is a loss
    dts: int  # decoding order, strictly increasing; ticks since the run began
    pts: int  # presentation; equals `dts` unless the camera sends B-pictures
    is_random_access_point: bool  # a decoder may start here: an IDR picture
    nal_units: tuple[bytes, ...]  # as received, SEI too; without start codes or lengths
    parameter_sets: tuple[bytes, ...]  # SPS and PPS in force (H.264 7.3.2)
    camera_time_us: int  # the camera's wall clock from RTCP; 0: it sent none
    camera_time_trusted: bool
    received_at_us: int  # when ingest read its first bytes, wall time
    mask_version: int
    digest: bytes
    previous_digest: bytes
