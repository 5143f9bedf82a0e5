"""The three steps by which a key is replaced: believed before it is used, used, and the last one gone.

A file of keys holds one or two. The first is in use: it signs, or is sealed to. All are believed: by relays,
by ingest, by whoever trusts the authority. So nobody ever meets a key that they do not know yet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate.authority import Authority
from feedgate.private_file import put_in_place, staged
from feedgate.signing_key import new_signing_key
from feedgate_access_policy.ticket import read_ticket_key, thumbprint
from feedgate_kit.errors import FeedgateError
from feedgate_kit.pem import pem_blocks
from feedgate_kit.sealing import private_key_text, public_key_text, read_private_keys

Kind = Literal["ticket-key", "source-key", "authority"]
Step = Literal["next", "use", "drop"]

PERMISSIONS: Final = 0o777


class RotationError(FeedgateError):
    """The step cannot be done; no file was changed, unless it says that one of a pair was."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the steps need to know of a kind of key. The parts of a key lie in files of their own, in one order."""

    files: Callable[[Path], Sequence[Path]]
    split: Callable[[str], list[str]]
    make: Callable[[], Sequence[str]]
    names: Callable[[Sequence[tuple[str, ...]]], list[str]]  # of each key; refuses what is none
    more: Callable[[tuple[str, ...]], str] = lambda _: ""  # what is said of a key after its name


def new_source_key() -> str:
    """A key that sources are sealed to, a line."""
    return private_key_text(X25519PrivateKey.generate())


def rotate(kind: Kind, step: Step, file: Path, name: str | None = None) -> list[str]:
    """Do one step; what holds then, a line per key, the one in use first.

    Args:
        kind: what the file holds.
        step: `next` adds a key that is believed, `use` puts one in use, `drop` forgets one that is not in use.
        file: the keys; of an authority its certificates, with the keys beside it in `<name>.key`.
        name: of the key that is put in use or forgotten, as it is printed; None for `next`. So a step done
            twice, by somebody who does not know whether it was done, does nothing else than once.

    Raises:
        RotationError: a file cannot be read, holds no such key, or is not where the step begins.
    """
    if (name is None) != (step == "next"):
        raise RotationError(
            "`next` takes no key's name"
            if step == "next"
            else f"`{step}` needs a key's name, as `next` printed it"
        )
    knows = _KINDS[kind]
    files = knows.files(file)
    try:
        parts = [knows.split(each.read_text(encoding="utf-8")) for each in files]
    except (OSError, UnicodeDecodeError) as error:
        raise RotationError(f"`{file}` cannot be read: {getattr(error, 'strerror', 'no text')}") from error
    keys = list(zip(*parts, strict=False))
    if not keys or len({len(each) for each in parts}) != 1:
        raise RotationError(f"`{file}` holds no {kind}, or not all of each")
    names = _named(knows, keys, file)
    if name is None:
        after = _with_next(keys, names, knows.make, file)
    else:
        after = _without(keys, names, name, file) if step == "drop" else _used_first(keys, names, name, file)
    lines = _held(_named(knows, after, file))
    if after != keys:
        _replace(files, after)
    return [line + knows.more(key) for line, key in zip(lines, after, strict=True)]


def _replace(files: Sequence[Path], keys: Sequence[tuple[str, ...]]) -> None:
    """All files are written before any is put in its place: a full disk leaves a pair as it was."""
    parts: list[Path] = []
    placed: list[Path] = []
    try:
        for number, file in enumerate(files):
            parts.append(_stage(file, "".join(key[number] for key in keys)))
        for part, file in zip(parts, files, strict=True):
            put_in_place(part, file)
            placed.append(file)
    except OSError as error:
        for part in parts[len(placed) :]:
            part.unlink(missing_ok=True)
        also = f"; `{placed[0]}` was already: put back what it held" if placed else ""
        raise RotationError(f"`{file}` cannot be written: {error.strerror}{also}") from error


def _stage(file: Path, text: str) -> Path:
    """With the owner and the permissions that the file has."""
    status = file.stat()
    return staged(file, text, status.st_mode & PERMISSIONS, (status.st_uid, status.st_gid))


def _with_next(
    keys: Sequence[tuple[str, ...]], names: list[str], make: Callable[[], Sequence[str]], file: Path
) -> list[tuple[str, ...]]:
    if len(keys) > 1:
        raise RotationError(
            f"`{file}` holds {len(keys)} keys ({', '.join(_held(names))}); allowed: one."
            " `use` and `drop` end the rotation under way"
        )
    return [*keys, tuple(make())]


def _used_first(
    keys: Sequence[tuple[str, ...]], names: list[str], name: str, file: Path
) -> list[tuple[str, ...]]:
    place = _place_of(name, names, file)
    return [keys[place], *keys[:place], *keys[place + 1 :]]


def _without(
    keys: Sequence[tuple[str, ...]], names: list[str], name: str, file: Path
) -> list[tuple[str, ...]]:
    place = _place_of(name, names, file)
    if place == 0:
        raise RotationError(f"`{name}` is the key in use; allowed: one that is only believed")
    return [*keys[:place], *keys[place + 1 :]]


def _place_of(name: str, names: list[str], file: Path) -> int:
    if name not in names:
        raise RotationError(f"`{file}` holds no key `{name}`, but {', '.join(_held(names))}")
    return names.index(name)


def _held(names: Sequence[str]) -> list[str]:
    return [f"{'believed' if number else 'in use'}: {name}" for number, name in enumerate(names)]


def _named(knows: _Kind, keys: Sequence[tuple[str, ...]], file: Path) -> list[str]:
    try:
        return knows.names(keys)
    except FeedgateError as error:
        raise RotationError(f"`{file}`: {error}") from None
    except ValueError:
        raise RotationError(f"`{file}` holds something else than such keys") from None


def _alone(file: Path) -> Sequence[Path]:
    return (file,)


def _ticket_names(keys: Sequence[tuple[str, ...]]) -> list[str]:
    return [thumbprint(read_ticket_key(key, "a key")) for (key,) in keys]


def _lines(text: str) -> list[str]:
    return [f"{line}\n" for line in text.splitlines() if line.strip()]


def _source_names(keys: Sequence[tuple[str, ...]]) -> list[str]:
    return list(read_private_keys("".join(key for (key,) in keys)))


def _public_half(parts: tuple[str, ...]) -> str:
    """What belongs into registry's pools file beside the name."""
    [key] = read_private_keys("".join(parts)).values()
    return f", public_key {public_key_text(key.public_key())}"


def _authority_files(file: Path) -> Sequence[Path]:
    return (file, file.with_suffix(".key"))


def _new_authority() -> Sequence[str]:
    pair = Authority.make(datetime.now(UTC)).pair
    return (pair.certificate, pair.key)


def _authority_names(pairs: Sequence[tuple[str, ...]]) -> list[str]:
    """Each by its certificate's SHA-256, as browsers show it."""
    names = []
    for certificate_text, key_text in pairs:
        certificate = x509.load_pem_x509_certificate(certificate_text.encode())
        key = serialization.load_pem_private_key(key_text.encode(), None)
        if key.public_key() != certificate.public_key():
            raise RotationError("its certificates and the keys beside it are not in one order")
        names.append(certificate.fingerprint(hashes.SHA256()).hex(":").upper())
    return names


_KINDS: Final[Mapping[Kind, _Kind]] = {
    "ticket-key": _Kind(_alone, pem_blocks, lambda: (new_signing_key(),), _ticket_names),
    "source-key": _Kind(_alone, _lines, lambda: (f"{new_source_key()}\n",), _source_names, _public_half),
    "authority": _Kind(_authority_files, pem_blocks, _new_authority, _authority_names),
}
