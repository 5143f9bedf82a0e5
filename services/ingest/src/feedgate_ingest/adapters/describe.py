"""Asks a camera for its description, before any library that follows redirects may talk to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from feedgate_ingest.adapters.rtsp_login import authorization, parse_challenges
from feedgate_ingest.adapters.sdp import SdpError, SessionDescription, parse_sdp
from feedgate_ingest.reasons import FeedError, Reason
from feedgate_ingest.source import PinnedSource
from feedgate_kit.addresses import Address, RtspUrl, address_words

MOST_HEAD_BYTES = 16 * 1024
MOST_BODY_BYTES = 64 * 1024
MOST_QUESTIONS = 3
"""Without a login, with it, and once more if the camera's nonce has aged in between."""
_AGENT = "feedgate-ingest"
_ENCODING = "H264"
_HUNG_UP = (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError)
_BUSY = frozenset({453, 503})  # not enough bandwidth, service unavailable
_GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case; some come more than once
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


async def describe(source: PinnedSource, *, timeout_s: float) -> "DescribeConnection":
    """The connection, if the camera offers H.264 under this source, and from where it is.

    Keep it until the camera plays: servers that prepare a stream for whoever asks, and
    drop it when nobody is left, answer 503 to who comes just then (GStreamer's does).

    Raises:
        FeedError: it does not, it wants to send us elsewhere, or it cannot be understood.
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection, response = await _ask(source.url)
    except TimeoutError:
        reason = Reason.TIMED_OUT
    except _HUNG_UP:
        reason = Reason.DROPPED_BY_CAMERA
    except OSError:
        reason = Reason.UNREACHABLE
    else:
        try:
            _judge(response, _address(source.url))
        except FeedError:
            connection.close()
            raise
        return connection
    # Outside the handlers: what stands behind an error may name the address.
    raise FeedError(reason)


async def _ask(url: RtspUrl) -> "tuple[DescribeConnection, _Response]":
    """The camera's last word to DESCRIBE, logged in if it asks for it, and the open connection."""
    login = ""
    connection = await DescribeConnection.open(url)
    try:
        for sequence in range(1, MOST_QUESTIONS + 1):
            try:
                response = await connection.request(sequence, login)
            except _HUNG_UP:
                if not login:
                    raise
                # Some cameras hang up after 401 and expect the answer on a new connection.
                connection.close()
                connection = await DescribeConnection.open(url)
                response = await connection.request(sequence, login)
            challenges = response.all("www-authenticate")
            if response.status != 401 or (login and not _is_stale(challenges)):
                break
            login = authorization(
                challenges, url.username, url.password, method="DESCRIBE", uri=connection.target
            )
    except BaseException:
        connection.close()
        raise
    return connection, response


def _is_stale(challenges: Sequence[str]) -> bool:
    """Whether the camera refuses only because its nonce has aged (RFC 7616 §3.3)."""
    return any(one.parameters.get("stale", "").lower() == "true" for one in parse_challenges(challenges))


def _judge(response: _Response, address: Address) -> None:
    if 300 <= response.status < 400:
        raise FeedError(Reason.REDIRECTED, _redirection(response.all("location"), address))
    _judge_status(response.status)
    try:
        description = parse_sdp(response.body.decode(errors="replace"))
    except SdpError:
        raise FeedError(Reason.PROTOCOL_ERROR) from None
    places = [*response.all("content-base"), *response.all("content-location"), *description.controls]
    seen = {words for place in places if (words := _elsewhere(place, address)) is not None}
    if seen:
        raise FeedError(
            Reason.CONTROL_ELSEWHERE,
            f"Seen: {', '.join(sorted(seen))}. Allowed: only the source's own address.",
        )
    _judge_tracks(description)


def _judge_status(status: int) -> None:
    match status:
        case 200:
            return
        case 401:
            reason = Reason.WRONG_PASSWORD
        case 403:
            reason = Reason.FORBIDDEN
        case _ if status in _GONE:
            reason = Reason.NO_SUCH_PATH
        case _ if status in _BUSY:
            reason = Reason.CAMERA_BUSY
        case _:
            raise FeedError(Reason.CAMERA_ERROR, f"It answered {status}.")
    raise FeedError(reason)


def _judge_tracks(description: SessionDescription) -> None:
    encodings = sorted({media.encoding for media in description.media if media.kind == "video"})
    if not encodings:
        raise FeedError(Reason.NO_VIDEO)
    if _ENCODING not in encodings:
        raise FeedError(Reason.UNSUPPORTED_CODEC, f"It offers {', '.join(encodings)}.")


def _redirection(places: Sequence[str], address: Address) -> str:
    """Where a redirect leads and what would be taken, for the owner."""
    seen = {_elsewhere(place, address) or "another place at the source's own address" for place in places}
    return (
        f"Seen: {', '.join(sorted(seen)) or 'no address'}."
        " Allowed: only the source's own address, without a redirect."
    )


def _elsewhere(place: str, address: Address) -> str | None:
    """What kind of place other than `address` a URL leads to; None where it stays, as a relative one does.

    Nothing of the URL itself is in the words: cameras write passwords into them.
    """
    if "://" not in place and not place.startswith("//"):
        return None
    try:
        parts = urlsplit(place)
    except ValueError:
        return "an unreadable URL"
    try:
        host = ip_address(parts.hostname or "")
    except ValueError:  # nobody knows where a name leads
        return "a host name" if parts.hostname else "an unreadable URL"
    if host != address:
        return address_words(host)
    return None if parts.scheme.lower() == "rtsp" else "a scheme other than rtsp"


def _address(url: RtspUrl) -> Address:
    assert url.address is not None, "a pinned source has an address"
    return url.address


class DescribeConnection:
    """One TCP connection to the pinned address, for requests one after another."""

    def __init__(self, url: RtspUrl, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target = url.address_url(_address(url))
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: RtspUrl) -> "DescribeConnection":
        reader, writer = await asyncio.open_connection(url.host, url.port, limit=MOST_HEAD_BYTES)
        return cls(url, reader, writer)

    async def request(self, sequence: int, login: str) -> _Response:
        lines = [
            f"DESCRIBE {self.target} RTSP/1.0",
            f"CSeq: {sequence}",
            "Accept: application/sdp",
            f"User-Agent: {_AGENT}",
            *([f"Authorization: {login}"] if login else []),
        ]
        if self._writer.is_closing():  # to write then is an error of uvloop's own kind
            raise ConnectionResetError
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self._writer.drain()
        return await self._response()

    def close(self) -> None:
        self._writer.close()

    async def _response(self) -> _Response:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise FeedError(Reason.PROTOCOL_ERROR) from None
        first, *lines = head.decode(errors="replace").rstrip("\r\n").split("\r\n")
        version, _, rest = first.partition(" ")
        status = rest.partition(" ")[0]
        if version != "RTSP/1.0" or len(status) != 3 or not (status.isascii() and status.isdigit()):
            raise FeedError(Reason.PROTOCOL_ERROR)
        headers = tuple(
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(":") for line in lines)
        )
        length = next((value for name, value in headers if name == "content-length"), "0")
        if not (length.isascii() and length.isdigit()) or int(length) > MOST_BODY_BYTES:
            raise FeedError(Reason.PROTOCOL_ERROR)
        return _Response(int(status), headers, await self._reader.readexactly(int(length)))
