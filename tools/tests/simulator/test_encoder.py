import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_tools.simulator.clip import synthesise_clip
from feedgate_tools.simulator.encoder import PPS, SLICE, SLICE_IDR, SPS, Encoder, nal_unit_type, split_annex_b
from feedgate_tools.simulator.scene import Scene

SCENE = Scene(width=160, height=96, name="test")


def encoder(slices: int = 1) -> Encoder:
    return Encoder(width=160, height=96, fps=25, bits_per_second=200_000, slices=slices)


def coded_types(encoder: Encoder, keyframes: list[bool]) -> list[list[int]]:
    return [
        [
            nal_unit_type(unit)
            for unit in encoder.encode(SCENE.draw(number, None), number, keyframe=keyframe).nal_units
        ]
        for number, keyframe in enumerate(keyframes)
    ]


def test_a_keyframe_comes_when_it_is_asked_for_and_only_then() -> None:
    asked = [True, False, False, True, True, False]
    key, delta = [SPS, PPS, SLICE_IDR], [SLICE]
    assert coded_types(encoder(), asked) == [key if keyframe else delta for keyframe in asked]


def test_no_keyframe_comes_by_itself() -> None:
    assert coded_types(encoder(), [True] + [False] * 300)[1:] == [[SLICE]] * 300


@pytest.mark.parametrize("slices", [1, 2, 4])
def test_a_picture_has_as_many_slices_as_were_asked_for(slices: int) -> None:
    assert coded_types(encoder(slices), [True, False]) == [
        [SPS, PPS] + [SLICE_IDR] * slices,
        [SLICE] * slices,
    ]


def test_a_clip_begins_each_group_with_a_keyframe_and_has_no_other() -> None:
    clip = synthesise_clip(SCENE, encoder(), groups=3, gop_pictures=4)
    assert [picture.is_random_access_point for picture in clip.pictures] == [True, False, False, False] * 3


# The bytes of a NAL unit hold no start code and do not end in zero: H.264 7.4.1.
nal_units = st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\0", b"\3") + b"\x80")


@given(st.lists(st.tuples(st.sampled_from([b"\0\0\1", b"\0\0\0\1"]), nal_units), max_size=6))
def test_a_byte_stream_is_split_into_its_nal_units(parts: list[tuple[bytes, bytes]]) -> None:
    stream = b"".join(start + unit for start, unit in parts)
    assert split_annex_b(stream) == [unit for _, unit in parts]
