"""What an H.264 sequence parameter set says of the pictures (H.264 7.3.2.1.1)."""

from dataclasses import dataclass

from feedgate_kit.errors import FeedgateError

_PROFILES_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_EXTENDED_SAR = 255  # H.264 table E-1
_MOST_REORDERED = 16  # MaxDpbFrames, H.264 A.3.1
_MOST_LEADING_ZEROS = 32  # Exp-Golomb codes of 32-bit numbers, H.264 9.1


class SpsError(FeedgateError):
    """The bytes are no sequence parameter set."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How the pictures are coded and how large they are."""

    codec: str  # RFC 6381 §3.3: `avc1.640028`
    width: int  # pixels, after cropping
    height: int
    reordered: int  # pictures that may be shown later than one sent after them; 0 without B-pictures


def read_sps(nal_unit: bytes) -> PictureFormat:
    """The format that a sequence parameter set (a NAL unit of type 7) announces.

    Raises:
        SpsError: it ends too soon or holds an impossible number.
    """
    if len(nal_unit) < 5:
        raise SpsError(f"a sequence parameter set of {len(nal_unit)} bytes; at least 5 are needed")
    profile, constraints, level = nal_unit[1:4]
    bits = _Bits(nal_unit[4:].replace(b"\x00\x00\x03", b"\x00\x00"))  # H.264 7.4.1: emulation prevention
    bits.unsigned()  # seq_parameter_set_id
    chroma_format = 1
    separate_planes = 0
    if profile in _PROFILES_WITH_CHROMA:
        chroma_format = bits.unsigned()
        if chroma_format == 3:
            separate_planes = bits.take(1)
        bits.unsigned()  # bit_depth_luma_minus8
        bits.unsigned()  # bit_depth_chroma_minus8
        bits.take(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.take(1):
            _skip_scaling_lists(bits, 12 if chroma_format == 3 else 8)
    bits.unsigned()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.take(1)  # gaps_in_frame_num_value_allowed_flag
    width = 16 * (bits.unsigned() + 1)
    map_units = bits.unsigned() + 1
    frame_only = bits.take(1)
    height = 16 * map_units * (2 - frame_only)
    if not frame_only:
        bits.take(1)  # mb_adaptive_frame_field_flag
    bits.take(1)  # direct_8x8_inference_flag
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        # CropUnitX and CropUnitY, H.264 (7-19) to (7-22).
        array_type = 0 if separate_planes else chroma_format
        unit_x = 2 if array_type in {1, 2} else 1
        unit_y = (2 if array_type == 1 else 1) * (2 - frame_only)
        width -= unit_x * (left + right)
        height -= unit_y * (top + bottom)
    if not (0 < width <= 16_384 and 0 < height <= 16_384):
        raise SpsError(f"pictures of {width} by {height}; allowed 1..16384")
    return PictureFormat(
        f"avc1.{profile:02x}{constraints:02x}{level:02x}", width, height, _reordered_pictures(bits)
    )


def _reordered_pictures(bits: "_Bits") -> int:
    """`max_num_reorder_frames` (H.264 E.2.1); 0 where it is not said.

    The standard would then allow as many as fit the buffer, but cameras that do not say
    send none.
    """
    try:
        return _read_vui(bits) if bits.take(1) else 0
    except SpsError:  # cameras that cut their VUI short exist; what came before it counts
        return 0


def _read_vui(bits: "_Bits") -> int:
    """`max_num_reorder_frames` of the video usability information (H.264 E.1.1), 0 if it has none."""
    if bits.take(1) and bits.take(8) == _EXTENDED_SAR:
        bits.take(32)  # sar_width, sar_height
    _skip_signal_and_timing(bits)
    has_hrd = False
    for _ in ("nal", "vcl"):
        if bits.take(1):
            has_hrd = True
            _skip_hrd(bits)
    if has_hrd:
        bits.take(1)  # low_delay_hrd_flag
    bits.take(1)  # pic_struct_present_flag
    if not bits.take(1):
        return 0
    bits.take(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):
        bits.unsigned()  # max_bytes_per_pic_denom to log2_max_mv_length_vertical
    return min(bits.unsigned(), _MOST_REORDERED)


def _skip_signal_and_timing(bits: "_Bits") -> None:
    if bits.take(1):
        bits.take(1)  # overscan_appropriate_flag
    if bits.take(1):
        bits.take(4)  # video_format, video_full_range_flag
        if bits.take(1):
            bits.take(24)  # colour_primaries, transfer_characteristics, matrix_coefficients
    if bits.take(1):
        bits.unsigned()  # chroma_sample_loc_type_top_field
        bits.unsigned()  # chroma_sample_loc_type_bottom_field
    if bits.take(1):
        bits.take(65)  # num_units_in_tick, time_scale, fixed_frame_rate_flag


def _skip_hrd(bits: "_Bits") -> None:
    count = min(bits.unsigned(), 31) + 1  # cpb_cnt_minus1
    bits.take(8)  # bit_rate_scale, cpb_size_scale
    for _ in range(count):
        bits.unsigned()  # bit_rate_value_minus1
        bits.unsigned()  # cpb_size_value_minus1
        bits.take(1)  # cbr_flag
    bits.take(20)  # lengths of delays and of the time offset


def _skip_picture_order(bits: "_Bits") -> None:
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()  # log2_max_pic_order_cnt_lsb_minus4
    elif kind == 1:
        bits.take(1)  # delta_pic_order_always_zero_flag
        bits.unsigned()  # offset_for_non_ref_pic, signed: as long as unsigned
        bits.unsigned()  # offset_for_top_to_bottom_field
        for _ in range(min(bits.unsigned(), 255)):
            bits.unsigned()


def _skip_scaling_lists(bits: "_Bits", count: int) -> None:
    for number in range(count):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


class _Bits:
    """Bits from the first byte's highest on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise SpsError("a sequence parameter set that ends too soon")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v), H.264 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MOST_LEADING_ZEROS:
                raise SpsError("a number of more than 32 bits in a sequence parameter set")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v), H.264 9.1.1."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
