import struct
from datetime import UTC, datetime
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from feedgate_tools.simulator.encoder import CodedPicture
from feedgate_tools.simulator.rtp import PACKET_BYTES, packetize, pieces, sender_report, silence

nal_units = st.builds(
    lambda head, size: bytes([head]) + bytes(i % 251 for i in range(size)),
    st.sampled_from([0x67, 0x68, 0x65, 0x41]),
    st.integers(1, 5 * PACKET_BYTES),
)
pictures = st.lists(nal_units, min_size=1, max_size=5).map(lambda units: CodedPicture(tuple(units), True))


class Packet(NamedTuple):
    """An RTP packet, read by this test and not by the code that wrote it. RFC 3550 §5.1."""

    channel: int
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def read(data: bytes | bytearray) -> list[Packet]:
    packets = []
    while data:
        magic, channel, length = struct.unpack(">cBH", data[:4])
        first, second, sequence, timestamp, ssrc = struct.unpack(">BBHII", data[4:16])
        assert (magic, first) == (b"$", 0x80)
        assert len(data) >= 4 + length
        payload = bytes(data[16 : 4 + length])
        packets.append(
            Packet(channel, bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, payload)
        )
        data = data[4 + length :]
    return packets


def joined(payloads: list[bytes]) -> list[bytes]:
    """Return the NAL units in RTP payloads, as RFC 6184 §5.8 tells a receiver to."""
    units: list[bytes] = []
    open_unit: bytes | None = None
    for payload in payloads:
        if payload[0] & 0x1F != 28:
            assert open_unit is None
            units.append(payload)
            continue
        starts, ends = bool(payload[1] & 0x80), bool(payload[1] & 0x40)
        assert not (starts and ends)
        assert starts == (open_unit is None)
        if starts:
            open_unit = bytes([payload[0] & 0xE0 | payload[1] & 0x1F])
        assert open_unit is not None
        open_unit += payload[2:]
        if ends:
            units.append(open_unit)
            open_unit = None
    assert open_unit is None
    return units


@given(pictures)
def test_what_is_taken_apart_can_be_put_together(picture: CodedPicture) -> None:
    packets = read(packetize(picture).template)
    assert joined([packet.payload for packet in packets]) == list(picture.nal_units)


@given(pictures)
def test_only_the_last_packet_of_a_picture_has_the_marker(picture: CodedPicture) -> None:
    markers = [packet.marker for packet in read(packetize(picture).template)]
    assert markers == [False] * (len(markers) - 1) + [True]


@given(pictures)
def test_no_packet_is_larger_than_the_network_takes(picture: CodedPicture) -> None:
    assert max(12 + len(packet.payload) for packet in read(packetize(picture).template)) <= PACKET_BYTES


@given(pictures, st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, (1 << 32) - 1))
def test_a_picture_is_placed_in_its_stream(
    picture: CodedPicture, sequence: int, timestamp: int, ssrc: int
) -> None:
    packetized = packetize(picture)
    packets = read(packetized.placed(sequence=sequence, timestamp=timestamp, ssrc=ssrc))
    assert [packet.sequence for packet in packets] == [
        (sequence + index) % (1 << 16) for index in range(len(packets))
    ]
    assert {(packet.timestamp, packet.ssrc, packet.payload_type) for packet in packets} == {
        (timestamp % (1 << 32), ssrc, 96)
    }
    assert [packet.payload for packet in packets] == [packet.payload for packet in read(packetized.template)]


def test_a_picture_moves_to_the_channel_that_was_set_up() -> None:
    packetized = packetize(CodedPicture((b"\x65" + bytes(5000), b"\x65ab"), True))
    moved = packetized.moved(packetized.placed(sequence=1, timestamp=2, ssrc=3), 6)
    assert {packet.channel for packet in read(moved)} == {6}


@given(st.binary(min_size=1, max_size=5000), st.integers(1, 20))
def test_pieces_are_the_whole(data: bytes, count: int) -> None:
    parts = pieces(data, count)
    assert b"".join(parts) == data
    assert len(parts) <= count
    assert min(map(len, parts)) > 0


def test_a_picture_goes_in_eight_pieces() -> None:
    assert [len(piece) for piece in pieces(bytes(8000), 8)] == [1000] * 8


def test_silence_is_a_pcmu_packet() -> None:
    (packet,) = read(silence(channel=2, sequence=70_000, timestamp=320, ssrc=9, samples=320))
    assert packet == Packet(2, False, 0, 70_000 - 65_536, 320, 9, b"\xff" * 320)


def test_a_sender_report_says_which_rtp_time_it_is_in_utc() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    report = sender_report(
        channel=1, ssrc=7, unix_s=at.timestamp(), timestamp=90_000, packets=11, payload_bytes=22
    )
    channel, length = struct.unpack(">xBH", report[:4])
    assert (channel, length) == (1, len(report) - 4)
    first, kind, words, ssrc, seconds, fraction, timestamp, packets, octets = struct.unpack(
        ">BBHIIIIII", report[4:32]
    )
    assert (first, kind, words, ssrc, timestamp, packets, octets) == (0x80, 200, 6, 7, 90_000, 11, 22)
    since_1900 = at - datetime(1900, 1, 1, tzinfo=UTC)
    assert seconds + fraction / 2**32 == since_1900.total_seconds()
    first, kind, words, ssrc, item, size = struct.unpack(">BBHIBB", report[32:42])
    assert (first, kind, ssrc, item) == (0x81, 202, 7, 1)
    assert 4 + 28 + 4 * (words + 1) == len(report)
    assert report[42 : 42 + size] == b"simulator"
    assert report[42 + size :].strip(b"\0") == b""
    assert len(report[42 + size :]) >= 1
