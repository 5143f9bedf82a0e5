"""`docs/ref/licences.md`, from the metadata of what is installed: `python -m tests.supply.licences`."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
IMAGES: Final = ("registry", "access-policy", "audit", "ingest", "relay", "feedgate", "tools")
ENTRY: Final = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)

ALLOWED: Final = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "PSF-2.0", "Zlib",
})  # fmt: skip
"""Each lets us give images away under Apache-2.0; MPL-2.0 binds changes to its own files, and we make none."""

SPDX: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""What packages without an SPDX expression write, in SPDX."""

READ_BY_A_PERSON: Final[Mapping[str, tuple[str, str]]] = {
    "cedarpy": ("Apache-2.0", "its metadata is silent; the licence file it installs was read"),
    "av": (
        "BSD-3-Clause",
        "its wheels carry FFmpeg, x264 and x265: see above",
    ),
    "opencv-python-headless": (
        "Apache-2.0",
        "its wheels carry FFmpeg's libraries, LGPL-2.1; in `tools` alone",
    ),
}
"""Where metadata are silent or tell half: what they are, and how we know."""

HEAD: Final = """\
# Licences

Of what the images install beside our own packages, which are Apache-2.0. Made by `make licences` from the metadata of
what is installed; a test holds it to the locks, and fails where a licence is unknown or not one of these:
{allowed}.

**Before you give images away:** PyAV's wheels (`av`, in ingest, relay, feedgate and tools) carry FFmpeg, which reports
itself as LGPL-3.0-or-later, and the encoders x264 and x265, which are GPL-2.0-or-later. Running them binds you to
nothing; whoever passes on an image that holds them has to do what those licences ask. No service encodes today: a
wheel of PyAV built without the two encoders serves as well.

| package | version | licence | in | |
| --- | --- | --- | --- | --- |
"""


class UnknownLicenceError(Exception):
    """A package does not say under which licence it is, in words that are known here."""


@dataclass(frozen=True, slots=True)
class Part:
    """One package of one lock that this platform installs."""

    name: str
    version: str
    licence: str
    remark: str


def parts(lock: str) -> Iterator[Part]:
    """What `requirements/<lock>.txt` installs here.

    Raises:
        UnknownLicenceError: one does not say its licence.
        PackageNotFoundError: one is not installed; `make setup` does that.
    """
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    for name, version, marker in ENTRY.findall(text):
        if marker and not Marker(marker).evaluate():
            continue
        licence, remark = READ_BY_A_PERSON.get(canonicalize_name(name), ("", ""))
        yield Part(name, version, licence or licence_of(distribution(name)), remark)


def licence_of(found: Distribution) -> str:
    """An SPDX expression.

    Raises:
        UnknownLicenceError: none can be told for certain.
    """
    metadata = found.metadata
    said = next((metadata[name] for name in ("License-Expression", "License") if name in metadata), "")
    classifiers = [
        line.rpartition(":: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    for words in (said, *classifiers):
        try:
            return str(canonicalize_license_expression(SPDX.get(words, words)))
        except InvalidLicenseExpression:
            continue
    raise UnknownLicenceError(f"{found.name}: saw `{said[:80]}` and {classifiers}; known: {sorted(SPDX)}")


def refused(expression: str) -> list[str]:
    """What in an expression is not allowed; of alternatives, one that is allowed is enough."""
    alternatives = [
        [part.strip("() ") for part in re.split(r"\bAND\b", alternative)]
        for alternative in re.split(r"\bOR\b", expression)
    ]
    wrong = [[name for name in names if name not in ALLOWED] for names in alternatives]
    return min(wrong, key=len)


def page() -> str:
    """The whole page."""
    where: dict[Part, list[str]] = {}
    for image in IMAGES:
        for part in parts(image):
            where.setdefault(part, []).append(image)
    rows = [
        f"| {part.name} | {part.version} | {part.licence} | {_images(images)} | {part.remark} |"
        for part, images in sorted(where.items(), key=lambda item: item[0].name)
    ]
    return HEAD.format(allowed=", ".join(sorted(ALLOWED))) + "\n".join(rows) + "\n"


def _images(images: list[str]) -> str:
    return "all" if len(images) == len(IMAGES) else ", ".join(images)


if __name__ == "__main__":
    sys.stdout.write(page())
