"""What a camera's description says of its tracks (SDP, RFC 8866; RFC 2326 appendix C)."""

import re
from dataclasses import dataclass

from feedgate_kit.errors import FeedgateError

_SHOWABLE = re.compile(r"[A-Za-z0-9.+-]{1,16}")
_STATIC_VIDEO = {"26": "JPEG", "31": "H261", "32": "MPV", "34": "H263"}  # RFC 3551 table 5


class SdpError(FeedgateError):
    """The text is no session description."""


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One track a camera offers."""

    kind: str  # `video`, `audio`, `application`
    encoding: str  # upper case, as its `rtpmap` has it: `H264`; `?` where that cannot be shown


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """All tracks, and all the places where the description says to control them."""

    media: tuple[MediaDescription, ...]
    controls: tuple[str, ...]


def parse_sdp(text: str) -> SessionDescription:
    """The description in `text`; what it says beyond tracks, encodings and controls is passed over.

    Raises:
        SdpError: it does not begin as one.
    """
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    if not lines or not lines[0].startswith("v="):
        raise SdpError("a description that does not begin with `v=`")
    controls = [line.removeprefix("a=control:").strip() for line in lines if line.startswith("a=control:")]
    media: list[MediaDescription] = []
    for position, line in enumerate(lines):
        if line.startswith("m="):
            kind, _, formats = line[2:].partition(" ")
            payload_type = formats.split(" ")[2] if formats.count(" ") >= 2 else ""
            media.append(MediaDescription(kind.lower(), _encoding(payload_type, lines[position + 1 :])))
    return SessionDescription(tuple(media), tuple(control for control in controls if control))


def _encoding(payload_type: str, following: list[str]) -> str:
    for line in following:
        if line.startswith("m="):
            break
        number, _, name = line.removeprefix("a=rtpmap:").partition(" ")
        if line.startswith("a=rtpmap:") and number == payload_type:
            encoding = name.partition("/")[0].strip().upper()
            return encoding if _SHOWABLE.fullmatch(encoding) else "?"
    return _STATIC_VIDEO.get(payload_type, "?")
