"""Size and codec string are read from parameter sets as real encoders write them."""

from collections.abc import Iterator
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.annexb import NalType, nal_type, split_nal_units
from feedgate_ingest.sps import SpsError, read_sps
from services.ingest.tests.coded import SPS

SIZES = [(64, 64), (176, 144), (640, 360), (1280, 720), (1920, 1080), (1922, 1082), (318, 238), (2560, 1920)]


def encoded_sps(width: int, height: int, **options: str) -> bytes:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, options.pop("pix_fmt", "yuv420p")
    context.options = {"preset": "ultrafast", **options}
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame(width, height, context.pix_fmt)
    units = list(_units(context, frame))
    return next(unit for unit in units if nal_type(unit) == NalType.SPS)


def _units(context: av.VideoCodecContext, frame: av.VideoFrame) -> Iterator[bytes]:
    for packet in [*context.encode(frame), *context.encode(None)]:
        yield from split_nal_units(bytes(packet))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_size_is_that_of_the_encoder(width: int, height: int) -> None:
    seen = read_sps(encoded_sps(width, height))
    assert (seen.width, seen.height) == (width, height)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"profile": "baseline"}, id="baseline"),
        pytest.param({"profile": "high"}, id="high"),
        pytest.param({"pix_fmt": "yuv422p"}, id="4:2:2"),
        pytest.param({"pix_fmt": "yuv444p"}, id="4:4:4"),
        pytest.param({"x264-params": "interlaced=1"}, id="fields"),
        pytest.param({"x264-params": "cqm=jvt"}, id="scaling matrices"),
    ],
)
def test_every_profile_is_read(options: dict[str, str]) -> None:
    seen = read_sps(encoded_sps(1280, 720, **options))
    assert (seen.width, seen.height) == (1280, 720)


@pytest.mark.parametrize(
    ("options", "reordered"),
    [
        pytest.param({"bf": "0"}, 0, id="none"),
        pytest.param({"bf": "2", "x264-params": "b-pyramid=none"}, 1, id="B-pictures"),
        pytest.param(
            {"bf": "3", "x264-params": "b-pyramid=normal:nal-hrd=cbr:vbv-maxrate=900:vbv-bufsize=900"},
            2,
            id="a pyramid of them, after buffer parameters",
        ),
        pytest.param(
            {"bf": "2", "x264-params": "b-pyramid=none:sar=4/3:videoformat=pal:colorprim=bt709:chromaloc=1"},
            1,
            id="after everything else that can stand there",
        ),
    ],
)
def test_how_many_pictures_are_shown_later_is_known(options: dict[str, str], reordered: int) -> None:
    assert read_sps(encoded_sps(640, 360, **options)).reordered == reordered


def test_an_encoder_that_does_not_say_sends_none() -> None:
    no_vui = bytes.fromhex("6742001ee901405ff2e0")
    assert read_sps(no_vui).reordered == 0


def test_the_codec_string_is_profile_constraints_and_level() -> None:
    assert read_sps(SPS).codec == "avc1.42c01e"


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        seen = read_sps(b"\x67" + data)
    except SpsError:
        return
    assert 0 < seen.width <= 16_384
    assert 0 < seen.height <= 16_384


def test_an_sps_that_ends_too_soon_is_refused() -> None:
    with pytest.raises(SpsError, match="ends too soon"):
        read_sps(SPS[:8])
