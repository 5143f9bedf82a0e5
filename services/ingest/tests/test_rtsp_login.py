"""Cameras are logged in to as the RFCs have it, by the strongest way both sides know."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedgate_ingest.adapters.rtsp_login import authorization, parse_challenges
from feedgate_ingest.reasons import FeedError, Reason

# RFC 7616 §3.9.1
RFC_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_CLIENT_NONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"


def rfc_challenge(algorithm: str) -> str:
    return (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        f'nonce="{RFC_NONCE}", opaque="{RFC_OPAQUE}"'
    )


def answer(*challenges: str, username: str = "Mufasa", password: str = "Circle of Life") -> str:
    return authorization(
        challenges, username, password, method="GET", uri="/dir/index.html", client_nonce=RFC_CLIENT_NONCE
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_rfcs_own_example(algorithm: str, response: str) -> None:
    header = answer(rfc_challenge(algorithm))
    (given,) = parse_challenges([header])
    assert given.parameters == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "nonce": RFC_NONCE,
        "uri": "/dir/index.html",
        "response": response,
        "cnonce": RFC_CLIENT_NONCE,
        "opaque": RFC_OPAQUE,
        "algorithm": algorithm,
        "qop": "auth",
        "nc": "00000001",
    }


def test_cameras_without_qop_are_answered_as_rfc_2069_has_it() -> None:
    header = authorization(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'],
        "Mufasa",
        "CircleOfLife",
        method="GET",
        uri="/dir/index.html",
    )
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in header  # RFC 2617 errata 1649
    assert "cnonce" not in header


def test_basic_is_answered_where_nothing_better_is_offered() -> None:
    header = answer('Basic realm="cam"', username="admin", password="pä:ss")
    assert b64decode(header.removeprefix("Basic ")).decode() == "admin:pä:ss"


@pytest.mark.parametrize(
    "challenges",
    [
        pytest.param(
            ['Basic realm="c"', rfc_challenge("MD5"), rfc_challenge("SHA-256")], id="in three headers"
        ),
        pytest.param([f'Basic realm="c", {rfc_challenge("MD5")}, {rfc_challenge("SHA-256")}'], id="in one"),
    ],
)
def test_the_strongest_way_is_taken(challenges: list[str]) -> None:
    assert "algorithm=SHA-256" in answer(*challenges)


@pytest.mark.parametrize(
    "challenge",
    [
        pytest.param('Digest realm="c", nonce="n", algorithm=SHA-512-256', id="an unknown hash"),
        pytest.param('Digest realm="c", nonce="n", qop="auth-int"', id="the body too"),
        pytest.param('Digest realm="c"', id="no nonce"),
        pytest.param('Bearer realm="c"', id="another scheme"),
        pytest.param("", id="nothing"),
    ],
)
def test_ways_nobody_here_knows_are_named_so(challenge: str) -> None:
    with pytest.raises(FeedError) as caught:
        answer(challenge)
    assert caught.value.reason is Reason.UNSUPPORTED_AUTHENTICATION


def test_without_credentials_the_owner_is_asked_for_them() -> None:
    with pytest.raises(FeedError) as caught:
        answer(rfc_challenge("MD5"), username="", password="")
    assert caught.value.reason is Reason.PASSWORD_NEEDED


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=30))
def test_no_username_breaks_out_of_its_quotes(username: str) -> None:
    (given,) = parse_challenges([answer(rfc_challenge("MD5"), username=username)])
    assert given.parameters["username"] == username
    assert given.parameters["uri"] == "/dir/index.html"


@given(st.text(max_size=200))
def test_any_header_can_be_read(header: str) -> None:
    list(parse_challenges([header]))
