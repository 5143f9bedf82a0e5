"""One coded picture as a movie fragment: `moof` and `mdat` of ISO/IEC 14496-12, nothing held back.

FFmpeg's muxer keeps each picture until the next one comes; here a picture
leaves when it is there, which is why its duration is foretold.
"""

import struct
from typing import Final

TRACK_ID: Final = 1

# ISO/IEC 14496-12 §8.8.7: the data offset counts from the start of this `moof`.
_DEFAULT_BASE_IS_MOOF: Final = 0x020000
# §8.8.8: data offset, and of each sample its duration, size, flags and composition offset.
_TRUN_FIELDS: Final = 0x000001 | 0x000100 | 0x000200 | 0x000400 | 0x000800
# §8.8.3.1: depends on no other sample / depends on others and is no sync sample.
_SYNC_SAMPLE: Final = 0x02000000
_DEPENDENT_SAMPLE: Final = 0x01010000

_MFHD: Final = struct.Struct(">I4sII")
_TFHD: Final = struct.Struct(">I4sII")
_TFDT: Final = struct.Struct(">I4sIQ")
_TRUN: Final = struct.Struct(">I4sIIiIIIi")
_BOX: Final = struct.Struct(">I4s")

_TRAF_SIZE: Final = 8 + _TFHD.size + _TFDT.size + _TRUN.size
_MOOF_SIZE: Final = 8 + _MFHD.size + _TRAF_SIZE


def fragment(
    *,
    number: int,
    decode_time: int,
    composition_offset: int,
    duration: int,
    is_sync: bool,
    sample: bytes,
) -> bytes:
    """A fragment of one sample.

    Args:
        number: of the fragment in its movie, growing.
        decode_time: in ticks of the init segment's track, not negative.
        composition_offset: presentation minus decode time; not 0 where there are B-pictures.
        duration: ticks until the next sample, as far as one can know now.
        is_sync: a decoder may start here.
        sample: NAL units, each with its 4-byte length (`feedgate_contracts.digest.length_prefixed`).
    """
    return b"".join((
        _BOX.pack(_MOOF_SIZE, b"moof"),
        _MFHD.pack(_MFHD.size, b"mfhd", 0, number & 0xFFFFFFFF),
        _BOX.pack(_TRAF_SIZE, b"traf"),
        _TFHD.pack(_TFHD.size, b"tfhd", _DEFAULT_BASE_IS_MOOF, TRACK_ID),
        _TFDT.pack(_TFDT.size, b"tfdt", 1 << 24, decode_time),
        _TRUN.pack(
            _TRUN.size,
            b"trun",
            1 << 24 | _TRUN_FIELDS,
            1,
            _MOOF_SIZE + _BOX.size,
            duration,
            len(sample),
            _SYNC_SAMPLE if is_sync else _DEPENDENT_SAMPLE,
            composition_offset,
        ),
        _BOX.pack(_BOX.size + len(sample), b"mdat"),
        sample,
    ))  # fmt: skip
