"""The init segment of a run (`ftyp`, `moov`), written by PyAV from the parameter sets; nothing is decoded."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import av
from av.error import FFmpegError

from feedgate_kit.errors import FeedgateError

_START_CODE: Final = b"\0\0\0\1"
_SPS: Final = 7  # H.264 table 7-1
_SLICE_HEADER_BYTES: Final = 64
"""What the parser is shown of the keyframe: enough for any slice header (H.264 7.3.3)."""


class InitSegmentError(FeedgateError):
    """No init segment can be made of these parameter sets; pictures wait for others."""


class InitSegment:
    """What a player must have before the fragments of one run; equal only to itself."""

    __slots__ = ("body", "codec")

    def __init__(self, body: bytes, codec: str) -> None:
        self.body = body
        self.codec = codec
        """RFC 6381, as MediaSource wants it: `avc1.640028`."""


def init_segment(
    parameter_sets: Sequence[bytes], keyframe: Sequence[bytes], ticks_per_second: int
) -> InitSegment:
    """The init segment for H.264.

    Args:
        parameter_sets: SPS and PPS.
        keyframe: NAL units of a picture that uses them; only a slice header is read.
        ticks_per_second: of the fragments' times.

    Raises:
        InitSegmentError: FFmpeg's parser or muxer does not understand them.
    """
    sps = next((unit for unit in parameter_sets if unit and unit[0] & 31 == _SPS and len(unit) >= 4), None)
    coded_slice = next((unit for unit in keyframe if unit and unit[0] & 31 in {1, 5}), None)
    if sps is None or coded_slice is None:
        raise InitSegmentError("no SPS, or no coded slice in the keyframe")
    annex_b = b"".join(_START_CODE + unit for unit in parameter_sets)
    try:
        body = _muxed(annex_b, _START_CODE + coded_slice[:_SLICE_HEADER_BYTES], ticks_per_second)
    except (FFmpegError, ValueError, IndexError) as error:
        raise InitSegmentError(f"parameter sets not understood: {type(error).__name__}") from error
    return InitSegment(body, f"avc1.{sps[1:4].hex()}")


def _muxed(annex_b: bytes, slice_header: bytes, ticks_per_second: int) -> bytes:
    parser = av.CodecContext.create("h264", "r")
    parser.parse(annex_b + slice_header)
    parser.parse(None)
    if not parser.width or not parser.height:
        raise InitSegmentError("the SPS names no picture size")
    written = io.BytesIO()
    options = {
        "movflags": "empty_moov+default_base_moof+frag_custom",
        "video_track_timescale": str(ticks_per_second),
    }
    # The demuxer is shown parameter sets only: it has no picture to decode.
    with av.open(io.BytesIO(annex_b), format="h264") as source:
        template = source.streams.video[0]
        with av.open(written, "w", format="mp4", options=options) as movie:
            stream = movie.add_stream_from_template(template, opaque=True)
            stream.codec_context.width = parser.width
            stream.codec_context.height = parser.height
            stream.time_base = Fraction(1, ticks_per_second)
            movie.start_encoding()
            return written.getvalue()
