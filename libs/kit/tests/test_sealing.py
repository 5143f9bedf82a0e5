import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from feedgate_kit.sealing import (
    SealingError,
    key_id_of,
    open_sealed,
    private_key_text,
    public_key_text,
    read_private_key,
    read_public_key,
    seal,
)

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SOURCE = b"rtsp://user:hunter2@cam.example/live"


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_with_the_pools_key_and_shows_nothing_before(plaintext: bytes) -> None:
    sealed = seal(KEY.public_key(), plaintext, "camera-1", 7, "key-1")
    assert open_sealed(KEY, sealed, "camera-1", 7, "key-1") == plaintext
    assert len(sealed) == len(plaintext) + 32 + 16  # encapsulated key (RFC 9180 §7.1) and GCM tag
    assert len(plaintext) < 8 or plaintext not in sealed


@pytest.mark.parametrize(
    ("camera_id", "version", "key_id"),
    [
        pytest.param("camera-2", 7, "key-1", id="another camera"),
        pytest.param("camera-1", 6, "key-1", id="an older version"),
        pytest.param("camera-1", 8, "key-1", id="a newer version"),
        pytest.param("camera-1", 7, "key-2", id="another key id"),
    ],
)
def test_a_seal_holds_only_for_its_camera_version_and_key_id(
    camera_id: str, version: int, key_id: str
) -> None:
    sealed = seal(KEY.public_key(), SOURCE, "camera-1", 7, "key-1")
    with pytest.raises(SealingError) as refused:
        open_sealed(KEY, sealed, camera_id, version, key_id)
    assert "hunter2" not in str(refused.value)


def test_another_key_does_not_open() -> None:
    sealed = seal(KEY.public_key(), SOURCE, "camera-1", 7, "key-1")
    with pytest.raises(SealingError):
        open_sealed(OTHER_KEY, sealed, "camera-1", 7, "key-1")


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_changed_bytes_do_not_open(place: int) -> None:
    sealed = bytearray(seal(KEY.public_key(), SOURCE, "camera-1", 7, "key-1"))
    sealed[place] ^= 1
    with pytest.raises(SealingError):
        open_sealed(KEY, bytes(sealed), "camera-1", 7, "key-1")


@pytest.mark.parametrize("length", [0, 1, 31, 47])
def test_cut_bytes_do_not_open(length: int) -> None:
    sealed = seal(KEY.public_key(), SOURCE, "camera-1", 7, "key-1")
    with pytest.raises(SealingError):
        open_sealed(KEY, sealed[:length], "camera-1", 7, "key-1")


def test_the_same_source_sealed_twice_looks_different() -> None:
    first, second = (seal(KEY.public_key(), SOURCE, "camera-1", 7, "key-1") for _ in range(2))
    assert first != second


def test_no_two_meanings_share_a_seal() -> None:
    with pytest.raises(SealingError, match=r"no `\|`"):
        seal(KEY.public_key(), SOURCE, "camera-1|7", 7, "key-1")
    with pytest.raises(SealingError, match=r"no `\|`"):
        seal(KEY.public_key(), SOURCE, "camera-1", 7, "7|key-1")


def test_keys_as_text() -> None:
    public, private = public_key_text(KEY.public_key()), private_key_text(KEY)
    assert read_public_key(public).public_bytes_raw() == KEY.public_key().public_bytes_raw()
    assert read_private_key(f"{private}\n").private_bytes_raw() == KEY.private_bytes_raw()
    assert key_id_of(KEY.public_key()) != key_id_of(OTHER_KEY.public_key())


@pytest.mark.parametrize("text", ["", "not base64!", "c2hvcnQ="])
def test_what_is_no_key_is_said_without_repeating_it(text: str) -> None:
    for read in (read_public_key, read_private_key):
        with pytest.raises(SealingError) as refused:
            read(text)
        assert not text or text not in str(refused.value)
