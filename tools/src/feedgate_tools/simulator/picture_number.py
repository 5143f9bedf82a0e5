"""The number of a picture, as a strip of blocks that survives lossy coding and scaling.

The strip lies along the top edge, over the full width and a sixteenth of the height: 32 blocks, white
for one and black for zero, most significant bit first.

    4 bits    sync, 1011
    22 bits   number of the picture, modulo 2**22 (46 hours at 25 pictures a second)
    6 bits    CRC-6 of the number
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SYNC = (True, False, True, True)
NUMBER_BITS = 22
CHECK_BITS = 6
BLOCKS = len(SYNC) + NUMBER_BITS + CHECK_BITS
NUMBERS = 1 << NUMBER_BITS
STRIP_FRACTION = 16
"""The strip takes one row in so many."""

_CRC6_ITU = 0b1000011
"""x^6 + x + 1, ITU-T G.704 2.3.3.5."""
_LEAST_CONTRAST = 64.0
_CLEAR_FRACTION = 0.2
"""How far from the middle a block must be, as a share of the contrast, to count as read."""


def draw_picture_number(image: Image, number: int) -> None:
    """Paint the strip of `number` over the top of `image`, in place.

    Args:
        image: (height, width) or (height, width, channels) uint8, at least 64 pixels wide.
        number: not negative; what is read back is `number` modulo `NUMBERS`.
    """
    height, width = image.shape[:2]
    strip = image[: strip_height(height)]
    edges = _edges(width)
    for block, is_white in enumerate(_bits(number % NUMBERS)):
        strip[:, edges[block] : edges[block + 1]] = 255 if is_white else 0


def read_picture_number(image: Image) -> int | None:
    """Return the number in the strip of `image`, or None where there is none that can be trusted.

    Args:
        image: the whole picture and nothing else, at any size; (height, width) or (height, width,
            3 or 4) uint8, in any order of colours. An edge that is some pixels off does no harm as
            long as it is less than a quarter of a block (an 128th of the width).
    """
    height, width = image.shape[:2]
    rows = strip_height(height)
    if width < BLOCKS * 2 or rows < 2:
        return None
    # Only the middle of each block counts: scaling and coding blur its edges.
    middle = image[rows // 4 : max(rows // 4 + 1, rows - rows // 4)]
    levels = middle.reshape(*middle.shape[:2], -1)[:, :, :3].mean(axis=(0, 2))
    edges = _edges(width)
    blocks = np.array([_middle_mean(levels[edges[i] : edges[i + 1]]) for i in range(BLOCKS)])
    sync = np.array(SYNC)
    white = float(blocks[: len(SYNC)][sync].min())
    black = float(blocks[: len(SYNC)][~sync].max())
    contrast = white - black
    if contrast < _LEAST_CONTRAST:
        return None
    from_middle = blocks - (white + black) / 2
    if float(np.abs(from_middle).min()) < _CLEAR_FRACTION * contrast:
        return None
    bits = [bool(level > 0) for level in from_middle]
    number = _integer(bits[len(SYNC) : len(SYNC) + NUMBER_BITS])
    return number if bits == _bits(number) else None


def strip_height(height: int) -> int:
    """Return the rows the strip takes in a picture of `height` rows."""
    return height // STRIP_FRACTION


def _bits(number: int) -> list[bool]:
    return [*SYNC, *_digits(number, NUMBER_BITS), *_digits(_crc6(number), CHECK_BITS)]


def _digits(value: int, count: int) -> list[bool]:
    return [bool(value >> place & 1) for place in reversed(range(count))]


def _integer(bits: list[bool]) -> int:
    return sum(bit << place for place, bit in enumerate(reversed(bits)))


def _crc6(number: int) -> int:
    # Starting from ones: an all-black strip must not check.
    remainder = (number ^ (0b111111 << (NUMBER_BITS - CHECK_BITS))) << CHECK_BITS
    for place in reversed(range(NUMBER_BITS)):
        if remainder >> (place + CHECK_BITS) & 1:
            remainder ^= _CRC6_ITU << place
    return remainder


def _edges(width: int) -> list[int]:
    return [round(block * width / BLOCKS) for block in range(BLOCKS + 1)]


def _middle_mean(levels: npt.NDArray[np.floating]) -> float:
    margin = len(levels) // 4
    return float(levels[margin : len(levels) - margin].mean())
