"""The digest chain of a run: a gap shows as a gap and an edit as an edit.

    digest = SHA-256(previous digest (32 bytes; zeros before the first picture)
                     || length of the stream's name in UTF-8 (uint16) || the name
                     || run (16 bytes) || sequence (uint64) || dts (int64)
                     || received_at_us (int64) || mask_version (uint32)
                     || every NAL unit after its length (uint32))

All numbers big-endian. The last line is byte for byte the sample that an MP4
file or fragment carries (ISO/IEC 14496-15, 4-byte lengths), so an MP4 of the
same pictures verifies.
"""

import hashlib
import struct
from collections.abc import Iterable

GENESIS = bytes(32)
"""The digest before the first picture of a run."""

_PLACE = struct.Struct(">16sQqqI")


def length_prefixed(nal_units: Iterable[bytes]) -> bytes:
    """The picture as an MP4 sample: each NAL unit after its 4-byte big-endian length."""
    return b"".join(part for unit in nal_units for part in (len(unit).to_bytes(4, "big"), unit))


def picture_digest(
    *,
    previous: bytes,
    stream: str,
    run: bytes,
    sequence: int,
    dts: int,
    received_at_us: int,
    mask_version: int,
    sample: bytes,
) -> bytes:
    """The 32-byte digest of one picture.

    Args:
        previous: digest of `sequence - 1` in this run, or `GENESIS`.
        stream: `<camera id>/<rendition>`.
        run: UUID of the run, 16 bytes.
        sequence: place in the run, from 0.
        dts: ticks since the run began.
        received_at_us: when ingest read the bytes, microseconds since the Unix epoch.
        mask_version: of the owner's masks the picture was made under.
        sample: the picture as `length_prefixed` has it.
    """
    name = stream.encode()
    head = previous + len(name).to_bytes(2, "big") + name
    place = _PLACE.pack(run, sequence, dts, received_at_us, mask_version)
    return hashlib.sha256(head + place + sample).digest()
