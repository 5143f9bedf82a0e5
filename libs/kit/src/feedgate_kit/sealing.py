"""A camera's source sealed to the one key that may open it, its pool's (HPKE, RFC 9180).

registry holds the public key and cannot open what it stored; ingest opens in memory.
`info` binds the sealed bytes to their camera, their version and their key, so that
bytes put under another camera, or an older source put back, do not open.
"""

import base64
import binascii
import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from feedgate_kit.errors import FeedgateError

KEY_BYTES: Final = 32  # RFC 7748 §5


class SealingError(FeedgateError):
    """A key is unusable, or sealed bytes do not open with what they were said to be."""


def seal(public_key: X25519PublicKey, plaintext: bytes, camera_id: str, version: int, key_id: str) -> bytes:
    """`plaintext` so that only the private key opens it, and only as this camera's source of this version."""
    return _suite().encrypt(plaintext, public_key, _info(camera_id, version, key_id))


def open_sealed(
    private_key: X25519PrivateKey, sealed: bytes, camera_id: str, version: int, key_id: str
) -> bytes:
    """What was sealed.

    Raises:
        SealingError: another key, camera, version or key id, or changed bytes.
    """
    try:
        return _suite().decrypt(sealed, private_key, _info(camera_id, version, key_id))
    except (InvalidTag, ValueError) as error:
        raise SealingError(
            f"source version {version} of camera `{camera_id}` does not open with key `{key_id}`"
        ) from error


def public_key_text(public_key: X25519PublicKey) -> str:
    """The key as pool files hold it: base64 of its 32 bytes."""
    return base64.b64encode(public_key.public_bytes_raw()).decode()


def read_public_key(text: str) -> X25519PublicKey:
    """The key that `public_key_text` wrote.

    Raises:
        SealingError: the text is no such key.
    """
    return X25519PublicKey.from_public_bytes(_key_bytes(text, "public"))


def private_key_text(private_key: X25519PrivateKey) -> str:
    """The key as the pool's own secret file holds it: base64 of its 32 bytes."""
    return base64.b64encode(private_key.private_bytes_raw()).decode()


def read_private_key(text: str) -> X25519PrivateKey:
    """The key that `private_key_text` wrote.

    Raises:
        SealingError: the text is no such key; the text is not repeated.
    """
    return X25519PrivateKey.from_private_bytes(_key_bytes(text, "private"))


def read_private_keys(text: str) -> dict[str, X25519PrivateKey]:
    """The keys of a pool's secret file by key id, a line each; the first is the one that sources are sealed to.

    A line is a key, or a name and a key where the pools file names it otherwise than `key_id_of`.

    Raises:
        SealingError: there is none, one is no key, or one stands twice; none is repeated.
    """
    keys: dict[str, X25519PrivateKey] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        *name, key_text = line.split()
        key = read_private_key(key_text)
        key_id = name[0] if name else key_id_of(key.public_key())
        if len(name) > 1 or key_id in keys:
            raise SealingError("a line is not a key, or a name and a key, that no other line has")
        keys[key_id] = key
    if not keys:
        raise SealingError(f"there is no private key; one of {KEY_BYTES} bytes is needed")
    return keys


def key_id_of(public_key: X25519PublicKey) -> str:
    """A short name of the key, for whoever makes one and needs its `key id`."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def _info(camera_id: str, version: int, key_id: str) -> bytes:
    if "|" in camera_id or "|" in key_id:
        raise SealingError("camera and key ids have no `|`, which parts them")
    return f"{camera_id}|{version}|{key_id}".encode()


def _key_bytes(text: str, kind: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SealingError(f"a {kind} key is not base64") from None
    if len(key) != KEY_BYTES:
        raise SealingError(f"a {kind} key has {len(key)} bytes; {KEY_BYTES} are needed")
    return key
