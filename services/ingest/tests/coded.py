"""Coded pictures as cameras send them, small and readable."""

from feedgate_ingest.picture import Picture, Track

SPS = bytes.fromhex("6742c01edb0280bfe5c044000003000400000300ca3c58b9e0")  # 640x360, baseline, by x264
# 640x360, main profile, two pictures shown later than one sent after them, by x264
REORDERED_SPS = bytes.fromhex("674d401eeca05017fcb0800000030080000019078b16cb")
PPS = bytes.fromhex("68cb83cb20")
SEI = b"\x06\x05\x04seal"
AUD = b"\x09\xf0"
IDR = b"\x65\x88\x84key"
SLICE = b"\x41\x9a\x24delta"

TRACK = Track((SPS, PPS))
STEP = 3600  # 25 pictures a second
RECEIVED_US = 1_800_000_000_000_000

KEY = (SPS, PPS, IDR)
DELTA = (SLICE,)


def picture(
    number: int,
    nal_units: tuple[bytes, ...] = DELTA,
    *,
    time: int | None = -1,
    received_at_us: int | None = None,
    camera_time_us: int = 0,
) -> Picture:
    """The picture that a camera without B-pictures sends as its `number`th."""
    return Picture(
        nal_units,
        number * STEP if time == -1 else time,
        RECEIVED_US + number * 40_000 if received_at_us is None else received_at_us,
        camera_time_us,
    )


def byte_stream(*nal_units: bytes, start_code: bytes = b"\x00\x00\x00\x01") -> bytes:
    """As Annex B has them."""
    return b"".join(start_code + unit for unit in nal_units)
