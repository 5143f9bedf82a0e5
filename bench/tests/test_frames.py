import struct
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.viewers.frames import BINARY, CLOSE, PING, TEXT, Frame, FrameError, FrameReader, pong
from feedgate_relay.wire import FRAGMENT, MEDIA_HEADER, lease_frame, media_frame, text_frame

KEEP = 16


def read_in_pieces(data: bytes, cuts: list[int], keep: int = KEEP) -> tuple[list[Frame], FrameReader]:
    reader = FrameReader(keep)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    frames = [frame for begin, end in pairwise(places) for frame in reader.feed(memoryview(data)[begin:end])]
    return frames, reader


def server_frame(opcode: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes((0x80 | opcode, len(payload))) + payload
    if len(payload) < 65536:
        return struct.pack(">BBH", 0x80 | opcode, 126, len(payload)) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, len(payload)) + payload


@given(
    sizes=st.lists(st.sampled_from([0, 1, 15, 16, 17, 125, 126, 200, 65535, 65536]), max_size=5),
    cuts=st.lists(st.integers(0, 300_000), max_size=12),
    keep=st.sampled_from([0, 16, 1 << 20]),
)
def test_frames_are_the_same_however_they_are_cut(sizes: list[int], cuts: list[int], keep: int) -> None:
    payloads = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    data = b"".join(server_frame(BINARY, payload) for payload in payloads)
    frames, reader = read_in_pieces(data, cuts, keep)
    ends = accumulate(len(server_frame(BINARY, payload)) for payload in payloads)
    assert frames == [
        Frame(BINARY, payload[:keep], len(payload), end) for payload, end in zip(payloads, ends, strict=True)
    ]
    assert reader.fed_bytes == len(data)
    assert reader.binary_bytes == sum(sizes)
    assert not reader.is_within_frame


def test_what_the_relay_writes_is_read() -> None:
    data = (
        text_frame({"n": 0, "type": "hello"})
        + media_frame(FRAGMENT, 1, 7, 123_456, bytes(70_000))
        + lease_frame(1)
    )
    frames, reader = read_in_pieces(data, [1, 3, 50, 60_000])
    assert [frame.opcode for frame in frames] == [TEXT, BINARY, TEXT]
    assert MEDIA_HEADER.unpack(frames[1].start) == (FRAGMENT, 1, 0, 7, 123_456)
    assert frames[1].size == MEDIA_HEADER.size + 70_000
    assert reader.binary_bytes == MEDIA_HEADER.size + 70_000


def test_a_picture_cut_off_was_begun() -> None:
    whole = media_frame(FRAGMENT, 0, 1, 1, bytes(1_000))
    frames, reader = read_in_pieces(whole[:-1], [])
    assert frames == []
    assert reader.is_within_frame
    assert reader.binary_bytes == MEDIA_HEADER.size + 999


def test_text_and_control_frames_are_no_picture_bytes() -> None:
    data = text_frame({"n": 0}) + server_frame(PING, b"four") + server_frame(CLOSE, b"\x0f\xa0")
    frames, reader = read_in_pieces(data, [])
    assert [frame.opcode for frame in frames] == [TEXT, PING, CLOSE]
    assert reader.binary_bytes == 0


def test_a_masked_frame_is_no_servers() -> None:
    with pytest.raises(FrameError):
        FrameReader(KEEP).feed(memoryview(b"\x82\x81\x00\x00\x00\x00x"))


def test_a_pong_repeats_the_ping_and_is_masked() -> None:
    assert pong(Frame(PING, b"ab", 2, 4)) == b"\x8a\x82\x00\x00\x00\x00ab"
