"""Pictures are cut into NAL units byte for byte, and known for what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.annexb import NalType, merge_parameter_sets, nal_types, split_nal_units
from services.ingest.tests.coded import AUD, IDR, PPS, SEI, SLICE, SPS, byte_stream


def without_emulation(body: bytes) -> bytes:
    """What an encoder may write: never two zero bytes before 0, 1, 2 or 3, and no zero at the end."""
    for code in (b"\x00\x00\x00", b"\x00\x00\x01", b"\x00\x00\x02", b"\x00\x00\x03"):
        body = body.replace(code, b"\x00\x07" + code[2:])
    return body.replace(b"\x00\x00", b"\x00\x09").rstrip(b"\x00") + b"\x80"


NAL_UNITS = st.lists(
    st.tuples(st.integers(1, 31), st.binary(max_size=40)).map(
        lambda parts: bytes([0x60 | parts[0]]) + without_emulation(parts[1])
    ),
    max_size=6,
)


@given(NAL_UNITS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_nal_units_come_out_as_they_went_in(units: list[bytes], long: list[bool]) -> None:
    stream = b"".join(
        (b"\x00\x00\x00\x01" if is_long else b"\x00\x00\x01") + unit
        for unit, is_long in zip(units, long, strict=False)
    )
    assert split_nal_units(stream) == tuple(units)


def test_zeros_a_camera_appends_to_its_last_nal_unit_are_kept() -> None:
    assert split_nal_units(byte_stream(SLICE + b"\x00\x00")) == (SLICE + b"\x00\x00",)


@pytest.mark.parametrize("stream", [b"", b"\x00\x00\x00\x01", b"no start code", b"\x00\x00\x01\x00\x00\x01"])
def test_what_holds_no_nal_unit_yields_none(stream: bytes) -> None:
    assert split_nal_units(stream) == ()


@pytest.mark.parametrize(
    ("units", "is_key"),
    [
        pytest.param((SPS, PPS, IDR), True, id="an IDR with its parameter sets"),
        pytest.param((AUD, SEI, IDR, IDR), True, id="an IDR in two slices after SEI"),
        pytest.param((SLICE, SLICE), False, id="a picture that needs another"),
        pytest.param((SPS, PPS, SLICE), False, id="parameter sets alone make no keyframe"),
        pytest.param((), False, id="nothing"),
    ],
)
def test_only_an_idr_is_a_random_access_point(units: tuple[bytes, ...], is_key: bool) -> None:
    assert (NalType.IDR_SLICE in nal_types(units)) is is_key


@pytest.mark.parametrize(
    ("in_force", "newer", "after"),
    [
        pytest.param((SPS, PPS), (), (SPS, PPS), id="nothing new"),
        pytest.param((), (PPS, SPS), (SPS, PPS), id="the SPS stands first"),
        pytest.param((SPS, PPS), (SPS + b"2", PPS), (SPS + b"2", PPS), id="a new SPS replaces the old one"),
        pytest.param((SPS, PPS), (PPS + b"2",), (SPS, PPS + b"2"), id="a PPS alone keeps the SPS"),
        pytest.param((SPS, PPS), (SPS, PPS, PPS), (SPS, PPS), id="sent twice, kept once"),
    ],
)
def test_parameter_sets_in_force(
    in_force: tuple[bytes, ...], newer: tuple[bytes, ...], after: tuple[bytes, ...]
) -> None:
    assert merge_parameter_sets(in_force, newer) == after
