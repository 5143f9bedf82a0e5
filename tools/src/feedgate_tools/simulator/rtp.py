"""RTP and RTCP as a camera sends them inside its RTSP connection."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from feedgate_tools.simulator.encoder import CodedPicture

VIDEO_CLOCK_HZ = 90_000
"""RFC 6184 §5.1."""
AUDIO_CLOCK_HZ = 8_000
"""PCMU, RFC 3551 §4.5.14."""
VIDEO_PAYLOAD_TYPE = 96
"""The first dynamic one, RFC 3551 §3."""
PCMU_PAYLOAD_TYPE = 0
"""RFC 3551 table 4."""
PACKET_BYTES = 1400
"""Largest RTP packet, header included; leaves room for IP, TCP and tunnels in an Ethernet frame."""

_INTERLEAVED = struct.Struct(">cBH")
"""Magic byte, channel, length of what follows; RFC 2326 §10.12."""
_RTP = struct.Struct(">BBHII")
"""V P X CC, M PT, sequence number, timestamp, SSRC; RFC 3550 §5.1."""
_PLACE = struct.Struct(">HII")
_VERSION_2 = 2 << 6
_MARKER = 1 << 7
_FU_A = 28
_FU_START = 1 << 7
_FU_END = 1 << 6
_SENDER_REPORT = 200
_SOURCE_DESCRIPTION = 202
_CNAME = 1
_NTP_TO_UNIX_S = 2_208_988_800
"""From 1900 to 1970, RFC 3550 §4."""
_PCMU_SILENCE = b"\xff"
"""Zero in mu-law, ITU-T G.711 table 2a."""


@dataclass(frozen=True, slots=True)
class PacketizedPicture:
    """A picture cut into interleaved RTP packets, on channel 0 and not yet placed in a stream.

    Made once and placed often: a clip's picture is placed anew by each camera at each turn of its loop.
    """

    template: bytes
    packet_offsets: tuple[int, ...]
    payload_bytes: int
    is_random_access_point: bool

    def placed(self, *, sequence: int, timestamp: int, ssrc: int) -> bytearray:
        """Return the packets with `sequence` as the first number, all at `timestamp`."""
        data = bytearray(self.template)
        timestamp &= 0xFFFF_FFFF
        for offset in self.packet_offsets:
            _PLACE.pack_into(data, offset + _INTERLEAVED.size + 2, sequence & 0xFFFF, timestamp, ssrc)
            sequence += 1
        return data

    def moved(self, data: bytes | bytearray, channel: int) -> bytearray:
        """Return the placed packets `data` on another interleaved channel."""
        moved = bytearray(data)
        for offset in self.packet_offsets:
            moved[offset + 1] = channel
        return moved


def packetize(picture: CodedPicture) -> PacketizedPicture:
    """Return `picture` as single NAL unit packets and FU-A fragments, RFC 6184 §5.6 and §5.8.

    The marker bit is set on the last packet of the access unit, RFC 6184 §5.1.
    """
    payloads = [payload for nal_unit in picture.nal_units for payload in fragments(nal_unit)]
    packets = bytearray()
    offsets = []
    for index, payload in enumerate(payloads):
        marker = _MARKER if index == len(payloads) - 1 else 0
        offsets.append(len(packets))
        packets += interleaved(0, _RTP.pack(_VERSION_2, marker | VIDEO_PAYLOAD_TYPE, 0, 0, 0) + payload)
    return PacketizedPicture(
        template=bytes(packets),
        packet_offsets=tuple(offsets),
        payload_bytes=sum(map(len, payloads)),
        is_random_access_point=picture.is_random_access_point,
    )


def fragments(nal_unit: bytes) -> Iterator[bytes]:
    """Yield the RTP payloads that carry `nal_unit`: itself if it fits, else FU-A, RFC 6184 §5.8."""
    room = PACKET_BYTES - _RTP.size
    if len(nal_unit) <= room:
        yield nal_unit
        return
    indicator = nal_unit[0] & 0b1110_0000 | _FU_A
    kind = nal_unit[0] & 0b0001_1111
    body = nal_unit[1:]
    step = room - 2
    for start in range(0, len(body), step):
        first = _FU_START if start == 0 else 0
        last = _FU_END if start + step >= len(body) else 0
        yield bytes((indicator, first | last | kind)) + body[start : start + step]


def silence(*, channel: int, sequence: int, timestamp: int, ssrc: int, samples: int) -> bytes:
    """Return one interleaved PCMU packet in which nobody speaks, RFC 3551 §4.5.14."""
    header = _RTP.pack(_VERSION_2, PCMU_PAYLOAD_TYPE, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc)
    return interleaved(channel, header + _PCMU_SILENCE * samples)


def sender_report(
    *, channel: int, ssrc: int, unix_s: float, timestamp: int, packets: int, payload_bytes: int
) -> bytes:
    """Return an interleaved compound of SR and SDES CNAME, RFC 3550 §6.4.1 and §6.5.1.

    Args:
        channel: the odd one of the track's pair, RFC 2326 §10.12.
        ssrc: of the track.
        unix_s: true UTC now.
        timestamp: the RTP time of the same moment.
        packets: sent by this source so far.
        payload_bytes: sent by this source so far, headers not counted.
    """
    seconds = int(unix_s)
    report = struct.pack(
        ">BBHIIIIII",
        _VERSION_2,
        _SENDER_REPORT,
        6,
        ssrc,
        seconds + _NTP_TO_UNIX_S & 0xFFFF_FFFF,
        int((unix_s - seconds) * (1 << 32)),
        timestamp & 0xFFFF_FFFF,
        packets & 0xFFFF_FFFF,
        payload_bytes & 0xFFFF_FFFF,
    )
    name = b"simulator"
    item = bytes((_CNAME, len(name))) + name
    item += bytes(4 - len(item) % 4)
    description = struct.pack(">BBHI", _VERSION_2 | 1, _SOURCE_DESCRIPTION, 1 + len(item) // 4, ssrc) + item
    return interleaved(channel, report + description)


def interleaved(channel: int, packet: bytes) -> bytes:
    """Return `packet` framed for the RTSP connection, RFC 2326 §10.12."""
    return _INTERLEAVED.pack(b"$", channel, len(packet)) + packet


def pieces(data: bytes | bytearray, count: int) -> Sequence[memoryview]:
    """Return `data` in at most `count` parts of the same size, the last one smaller."""
    view = memoryview(data)
    step = max(1, -(-len(data) // count))
    return [view[start : start + step] for start in range(0, len(data), step)]
