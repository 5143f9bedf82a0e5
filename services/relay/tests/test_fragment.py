"""What players are sent, judged by FFmpeg's demuxer."""

import io
from fractions import Fraction

import av
import pytest

from feedgate_contracts.digest import length_prefixed
from feedgate_relay.fragment import fragment
from feedgate_relay.init_segment import InitSegmentError, init_segment
from services.relay.tests.scene import PICTURE_TICKS, TICKS, Clip, CodedPicture, clip


def movie(coded: Clip) -> bytes:
    init = init_segment(coded.parameter_sets, coded.pictures[0].nal_units, TICKS)
    return init.body + b"".join(piece(number, picture) for number, picture in enumerate(coded.pictures))


def piece(number: int, picture: CodedPicture) -> bytes:
    return fragment(
        number=number + 1,
        decode_time=picture.dts,
        composition_offset=picture.pts - picture.dts,
        duration=PICTURE_TICKS,
        is_sync=picture.is_keyframe,
        sample=length_prefixed(picture.nal_units),
    )


@pytest.mark.parametrize("b_pictures", [0, 2])
def test_the_demuxer_reads_back_every_picture_byte_for_byte_with_its_times(b_pictures: int) -> None:
    coded = clip(b_pictures=b_pictures)
    assert any(picture.pts != picture.dts for picture in coded.pictures) == (b_pictures > 0)
    with av.open(io.BytesIO(movie(coded)), "r") as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (stream.width, stream.height) == (160, 96)
        assert stream.time_base == Fraction(1, TICKS)
    assert [(bytes(packet), packet.dts, packet.pts, packet.is_keyframe) for packet in packets] == [
        (length_prefixed(picture.nal_units), picture.dts, picture.pts, picture.is_keyframe)
        for picture in coded.pictures
    ]


@pytest.mark.parametrize("b_pictures", [0, 2])
def test_a_decoder_shows_every_picture_in_order(b_pictures: int) -> None:
    coded = clip(b_pictures=b_pictures)
    with av.open(io.BytesIO(movie(coded)), "r") as container:
        shown = [frame.pts or 0 for frame in container.decode(video=0)]
    assert len(shown) == len(coded.pictures)
    assert shown == sorted(shown)


def test_a_fragment_needs_nothing_but_the_init_segment_before_it() -> None:
    coded = clip()
    init = init_segment(coded.parameter_sets, coded.pictures[10].nal_units, TICKS)
    late = init.body + b"".join(piece(number, coded.pictures[number]) for number in range(10, 20))
    with av.open(io.BytesIO(late), "r") as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 10
    assert frames[0].pts == 10 * PICTURE_TICKS


def test_the_codec_is_named_as_media_source_wants_it() -> None:
    coded = clip()
    init = init_segment(coded.parameter_sets, coded.pictures[0].nal_units, TICKS)
    assert init.codec == f"avc1.{coded.parameter_sets[0][1:4].hex()}"


def test_the_sample_is_the_last_thing_in_a_fragment_and_whole() -> None:
    picture = clip().pictures[0]
    made = piece(0, picture)
    sample = length_prefixed(picture.nal_units)
    assert made.endswith((len(sample) + 8).to_bytes(4, "big") + b"mdat" + sample)


@pytest.mark.parametrize(
    ("sets", "units"),
    [
        ((), clip().pictures[0].nal_units),
        (clip().parameter_sets, ()),
        ((b"\x67",), clip().pictures[0].nal_units),
    ],
    ids=["no sets", "no slice", "a cut SPS"],
)
def test_parameter_sets_nobody_understands_make_no_init_segment(
    sets: tuple[bytes, ...], units: tuple[bytes, ...]
) -> None:
    with pytest.raises(InitSegmentError):
        init_segment(sets, units, TICKS)
