"""Pictures as they come through the relay's door, and their match with frame events.

One message is a 16-byte header and an ISO 14496-12 fragment with one sample.
"""

import struct
from dataclasses import dataclass

from feedgate_client.errors import ClientError
from feedgate_contracts.digest import picture_digest
from feedgate_contracts.frame.v1.frame_pb2 import FrameEvent

HEADER = struct.Struct(">BBHIQ")
"""Kind, flags, tile, sequence modulo 2^32, send time in microseconds since the Unix epoch."""

KIND_INIT = 1
KIND_FRAGMENT = 2
FLAG_KEYFRAME = 1
FLAG_DISCONTINUITY = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture that the relay admitted."""

    sequence: int  # in its run, modulo 2^32
    is_random_access_point: bool
    follows_a_gap: bool  # something is missing before it; a decoder starts anew with `init_segment`
    init_segment: bytes  # `ftyp` and `moov` that fit this fragment
    fragment: bytes  # `moof` and `mdat`
    sample: bytes  # the NAL units, each after its 4-byte length
    sent_at_us: int  # the relay's clock
    received_at_us: int  # this machine's clock


def split_message(message: bytes) -> tuple[int, int, int, int, bytes]:
    """(kind, flags, sequence, send time in microseconds, body) of one media message.

    Raises:
        ClientError: shorter than its header.
    """
    if len(message) < HEADER.size:
        raise ClientError(f"media message of {len(message)} bytes; at least {HEADER.size} needed")
    kind, flags, _tile, sequence, sent_at_us = HEADER.unpack_from(message)
    return kind, flags, sequence, sent_at_us, message[HEADER.size :]


def sample_of(fragment: bytes) -> bytes:
    """The payload of the fragment's `mdat` box (ISO/IEC 14496-12 8.1.1).

    Raises:
        ClientError: the boxes do not fill the fragment, or none is `mdat`.
    """
    start = 0
    while start + 8 <= len(fragment):
        size = int.from_bytes(fragment[start : start + 4], "big")
        if size < 8 or start + size > len(fragment):
            raise ClientError(f"box of {size} bytes at {start} in a fragment of {len(fragment)}")
        if fragment[start + 4 : start + 8] == b"mdat":
            return fragment[start + 8 : start + size]
        start += size
    raise ClientError(f"no `mdat` in a fragment of {len(fragment)} bytes")


def matches(sample: bytes, sequence: int, event: FrameEvent) -> bool:
    """Whether the event vouches for this sample: its digest, made anew from the bytes, is in the chain.

    Args:
        sample: the picture's NAL units, each after its 4-byte length.
        sequence: the picture's number, modulo 2^32.
        event: one with a group of pictures.
    """
    group = event.group_of_pictures
    previous = group.previous_digest
    expected_sequence: int | None = None
    for picture in group.pictures:
        if expected_sequence is not None and picture.sequence != expected_sequence:
            return False  # the chain is broken before it reaches the picture
        if picture.sequence % 2**32 == sequence:
            made = picture_digest(
                previous=previous,
                stream=event.stream,
                run=group.run,
                sequence=picture.sequence,
                dts=picture.dts,
                received_at_us=picture.received_at_us,
                mask_version=group.mask_version,
                sample=sample,
            )
            return made == picture.digest
        previous = picture.digest
        expected_sequence = picture.sequence + 1
    return False
