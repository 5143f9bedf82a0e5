"""The digest chain, held to its written definition by hand-assembled bytes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from feedgate_contracts.digest import GENESIS, length_prefixed, picture_digest

RUN = bytes(range(16))
NAL_UNITS = (b"\x67\x42", b"\x65" + b"\x88" * 300)
PICTURE: Mapping[str, Any] = {
    "previous": GENESIS,
    "stream": "gate/original",
    "run": RUN,
    "sequence": 7,
    "dts": -3_000,
    "received_at_us": 1_700_000_000_000_001,
    "mask_version": 2,
    "sample": length_prefixed(NAL_UNITS),
}


def test_a_sample_is_each_unit_after_its_length() -> None:
    assert length_prefixed((b"ab", b"c")) == b"\0\0\0\2ab\0\0\0\1c"


def test_the_digest_is_the_hash_of_the_bytes_the_definition_names() -> None:
    by_hand = b"".join(
        [
            bytes(32),
            b"\x00\x0dgate/original",
            RUN,
            (7).to_bytes(8, "big"),
            (-3_000).to_bytes(8, "big", signed=True),
            (1_700_000_000_000_001).to_bytes(8, "big"),
            (2).to_bytes(4, "big"),
            b"\0\0\0\x02\x67\x42",
            b"\0\0\x01\x2d\x65" + b"\x88" * 300,
        ]
    )
    assert picture_digest(**PICTURE) == hashlib.sha256(by_hand).digest()


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("previous", b"\x01" * 32),
        ("stream", "gate/masked"),
        ("run", bytes(16)),
        ("sequence", 8),
        ("dts", 0),
        ("received_at_us", 1_700_000_000_000_002),
        ("mask_version", 3),
        ("sample", length_prefixed((b"\x67\x42", b"\x65" + b"\x88" * 299 + b"\x89"))),
    ],
)
def test_no_field_can_change_unseen(field: str, other: object) -> None:
    assert picture_digest(**{**PICTURE, field: other}) != picture_digest(**PICTURE)
