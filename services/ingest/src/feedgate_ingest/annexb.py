"""H.264 access units as byte streams (H.264 Annex B), and what their NAL units are."""

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum

START_CODE = b"\x00\x00\x01"
_START_CODES = re.compile(
    START_CODE
)  # finds them in coded pictures in a third of the time `bytes.find` takes


class NalType(IntEnum):
    """`nal_unit_type`, H.264 table 7-1: those that matter here."""

    IDR_SLICE = 5
    SEI = 6
    SPS = 7
    PPS = 8


_PARAMETER_SETS = frozenset({NalType.SPS, NalType.PPS})


def split_nal_units(data: bytes) -> tuple[bytes, ...]:
    """The NAL units of a byte stream, byte for byte as between the start codes.

    A zero byte before a start code belongs to it (`zero_byte`, H.264 B.1.1). What lies
    before the first start code is no NAL unit.
    """
    units: list[bytes] = []
    start = -1
    for found in _START_CODES.finditer(data):
        end = found.start()
        if start >= 0:
            units.append(data[start : end - (data[end - 1] == 0)])
        start = found.end()
    if start >= 0:
        units.append(data[start:])
    return tuple(unit for unit in units if unit)


def nal_type(nal_unit: bytes) -> int:
    return nal_unit[0] & 0x1F


def nal_types(nal_units: Iterable[bytes]) -> list[int]:
    """The types of a picture's NAL units, in order."""
    return [unit[0] & 0x1F for unit in nal_units]


def parameter_sets_of(nal_units: Sequence[bytes]) -> tuple[bytes, ...]:
    """The SPS and PPS among them, in order."""
    return tuple(unit for unit in nal_units if unit[0] & 0x1F in _PARAMETER_SETS)


def merge_parameter_sets(in_force: Sequence[bytes], newer: Sequence[bytes]) -> tuple[bytes, ...]:
    """What is in force after `newer` came: a new set replaces those of its type.

    Cameras send one SPS and one or more PPS, always together with the SPS they go with,
    so types are replaced whole instead of id by id (H.264 7.4.1.2.1).
    """
    types = {nal_type(unit) for unit in newer}
    kept = [unit for unit in in_force if nal_type(unit) not in types]
    return tuple(sorted([*kept, *dict.fromkeys(newer)], key=nal_type))
