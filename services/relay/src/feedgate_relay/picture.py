"""One coded picture inside the relay: an access unit, read once, and the bytes every viewer is sent."""

from typing import Final

from google.protobuf.message import DecodeError

from feedgate_contracts.digest import length_prefixed
from feedgate_contracts.media.v1.access_unit_pb2 import CODEC_H264, AccessUnit
from feedgate_kit.errors import UnreadableRecordError
from feedgate_relay.admission import Source
from feedgate_relay.init_segment import InitSegment

RUN_BYTES: Final = 16
MAXIMUM_TICKS_PER_SECOND: Final = 10_000_000
LONGEST_RUN_TICKS: Final = 1 << 60
GREATEST_COMPOSITION_TICKS: Final = (1 << 31) - 1  # ISO/IEC 14496-12 §8.8.8: int32


class Picture:
    """What the hub works with. It is shared by all viewers and never changed after it was delivered first."""

    __slots__ = (
        "body",
        "digest",
        "dts",
        "gop",
        "init",
        "is_random_access_point",
        "mask_version",
        "previous_digest",
        "received_at_us",
        "sequence",
        "shown_until_us",
        "size",
        "source",
        "ticks_per_second",
    )

    def __init__(self, unit: AccessUnit, source: Source, max_age_us: int) -> None:
        self.source = source
        self.sequence = unit.sequence
        self.dts = unit.dts
        self.ticks_per_second = unit.ticks_per_second
        self.received_at_us = unit.received_at_us
        self.shown_until_us = unit.received_at_us + max_age_us
        self.mask_version = unit.mask_version
        self.is_random_access_point = unit.is_random_access_point
        self.digest = unit.digest
        self.previous_digest = unit.previous_digest
        self.size = 0  # of the sample
        self.gop = 0  # number of its GOP in the hub
        self.init: InitSegment | None = None
        self.body = b""  # the fragment


def read_unit(value: bytes, stream: str) -> AccessUnit:
    """The access unit of a media record.

    Raises:
        UnreadableRecordError: it does not parse, or lacks what a picture must have.
    """
    try:
        unit = AccessUnit.FromString(value)
    except DecodeError as error:
        raise UnreadableRecordError("not an access unit") from error
    if (
        unit.stream != stream
        or len(unit.run) != RUN_BYTES
        or unit.codec != CODEC_H264
        or not unit.nal_units
        or not 0 < unit.ticks_per_second <= MAXIMUM_TICKS_PER_SECOND
        or abs(unit.dts) > LONGEST_RUN_TICKS
        or abs(unit.pts - unit.dts) > GREATEST_COMPOSITION_TICKS
        or unit.received_at_us <= 0
    ):
        raise UnreadableRecordError("an access unit without what a picture must have")
    return unit


def sample_of(unit: AccessUnit) -> bytes:
    """The picture as an MP4 sample, byte for byte what its digest covers."""
    return length_prefixed(unit.nal_units)
