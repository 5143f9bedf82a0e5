"""What a simulated camera says of itself when it is asked to DESCRIBE."""

from __future__ import annotations

import base64
from enum import StrEnum

from feedgate_tools.simulator.encoder import ParameterSets
from feedgate_tools.simulator.rtp import (
    AUDIO_CLOCK_HZ,
    PCMU_PAYLOAD_TYPE,
    VIDEO_CLOCK_HZ,
    VIDEO_PAYLOAD_TYPE,
)


class Track(StrEnum):
    """What a client can set up; the value is the end of the track's control URL."""

    VIDEO = "trackID=1"
    AUDIO = "trackID=2"


def session_description(
    *,
    parameter_sets: ParameterSets,
    fps: int,
    has_audio: bool,
    session_control: str = "*",
    track_base: str = "",
) -> str:
    """Return the SDP of a camera.

    RFC 4566 for the form, RFC 2326 appendix C.1 for `a=control`, RFC 6184 §8.1 for `a=fmtp`.

    Args:
        parameter_sets: of the encoder, known before anybody plays.
        fps: pictures a second.
        has_audio: whether there is a PCMU track.
        session_control: the aggregate URL; `*` is the one asked for.
        track_base: put in front of each track's control, to make it absolute.
    """
    sps, pps = parameter_sets.sps, parameter_sets.pps
    sprop = ",".join(base64.b64encode(unit).decode() for unit in (sps, pps))
    profile = f"profile-level-id={sps[1:4].hex().upper()}"
    lines = [
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=camera simulator",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=range:npt=now-",
        f"a=control:{session_control}",
        f"m=video 0 RTP/AVP {VIDEO_PAYLOAD_TYPE}",
        f"a=rtpmap:{VIDEO_PAYLOAD_TYPE} H264/{VIDEO_CLOCK_HZ}",
        f"a=fmtp:{VIDEO_PAYLOAD_TYPE} packetization-mode=1;{profile};sprop-parameter-sets={sprop}",
        f"a=framerate:{fps}",
        f"a=control:{track_base}{Track.VIDEO}",
    ]
    if has_audio:
        lines += [
            f"m=audio 0 RTP/AVP {PCMU_PAYLOAD_TYPE}",
            f"a=rtpmap:{PCMU_PAYLOAD_TYPE} PCMU/{AUDIO_CLOCK_HZ}",
            f"a=control:{track_base}{Track.AUDIO}",
        ]
    return "".join(f"{line}\r\n" for line in lines)
