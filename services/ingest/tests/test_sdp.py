"""Descriptions are read for their tracks and for where they lead, and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.adapters.sdp import MediaDescription, SdpError, parse_sdp

HEAD = "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=cam\r\n"


@pytest.mark.parametrize(
    ("body", "media"),
    [
        pytest.param("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000", [("video", "H264")], id="H.264"),
        pytest.param("m=video 0 RTP/AVP 97\na=rtpmap:97 h265/90000", [("video", "H265")], id="bare newlines"),
        pytest.param("m=video 0 RTP/AVP 26", [("video", "JPEG")], id="JPEG, a static type"),
        pytest.param("m=video 0 RTP/AVP 96", [("video", "?")], id="no rtpmap"),
        pytest.param(
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 <script>/1", [("video", "?")], id="not to be shown"
        ),
        pytest.param("m=video", [("video", "?")], id="cut short"),
        pytest.param(
            "m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000",
            [("audio", "?"), ("video", "H264"), ("application", "?")],
            id="audio, video and metadata",
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_tracks(body: str, media: list[tuple[str, str]]) -> None:
    assert parse_sdp(HEAD + body).media == tuple(MediaDescription(*each) for each in media)


def test_controls_of_the_session_and_of_every_track_are_seen() -> None:
    audio, video = "m=audio 0 RTP/AVP 0\r\na=control:rtsp://a/1", "m=video 0 RTP/AVP 96\r\na=control:track2"
    body = f"a=control:*\r\n{audio}\r\n{video}"
    assert parse_sdp(HEAD + body).controls == ("*", "rtsp://a/1", "track2")


@pytest.mark.parametrize("text", ["", "<html>", "m=video 0 RTP/AVP 96"])
def test_what_does_not_begin_as_a_description_is_none(text: str) -> None:
    with pytest.raises(SdpError):
        parse_sdp(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    parse_sdp("v=0\n" + text)
