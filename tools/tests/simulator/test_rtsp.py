from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_tools.simulator.rtsp import MalformedRequestError, RequestReader, Status, response

STREAM = (
    b"OPTIONS rtsp://camera/cam0 RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    b"$\x01\x00\x08\r\n\r\n\r\n\r\n"
    b"GET_PARAMETER rtsp://camera/cam0 RTSP/1.0\r\ncseq: 2\r\nContent-Length: 6\r\n\r\nmedia\n"
    b"$\x01\x00\x00"
    b"TEARDOWN rtsp://camera/cam0 RTSP/1.0\r\nCSeq:3\r\n\r\n"
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_requests_are_told_from_packets_however_they_arrive(cuts: list[int]) -> None:
    reader = RequestReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    requests = [request for start, end in pairwise(edges) for request in reader.feed(STREAM[start:end])]
    assert [(request.method, request.headers["cseq"]) for request in requests] == [
        ("OPTIONS", "1"),
        ("GET_PARAMETER", "2"),
        ("TEARDOWN", "3"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(b"OPTIONS\r\n\r\n", id="no URL"),
        pytest.param(b"OPTIONS * RTSP/1.0\r\nCSeq 1\r\n\r\n", id="a header without a colon"),
        pytest.param(b"PLAY * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(b"PLAY * RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n", id="a huge body"),
        pytest.param(b"x" * 20_000, id="a head without an end"),
    ],
)
def test_what_is_not_rtsp_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        list(RequestReader().feed(data))


def test_an_answer_repeats_the_number_of_its_request() -> None:
    (request,) = RequestReader().feed(b"DESCRIBE rtsp://camera/cam0 RTSP/1.0\r\nCSeq: 7\r\n\r\n")
    assert response(Status.NOT_FOUND, request, {"Server": "x"}, "né") == (
        b"RTSP/1.0 404 Not Found\r\nCSeq: 7\r\nServer: x\r\nContent-Length: 3\r\n\r\nn\xc3\xa9"
    )
