"""RTSP messages as text, RFC 2326 §6 and §7, told apart from interleaved packets, §10.12."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

_MOST_HEADER_BYTES = 16 * 1024
_MOST_BODY_BYTES = 64 * 1024


class Status(IntEnum):
    """RFC 2326 §7.1.1."""

    OK = 200
    FOUND = 302
    BAD_REQUEST = 400
    UNAUTHORIZED = 401
    NOT_FOUND = 404
    SESSION_NOT_FOUND = 454
    METHOD_NOT_VALID_IN_THIS_STATE = 455
    UNSUPPORTED_TRANSPORT = 461
    NOT_IMPLEMENTED = 501


class MalformedRequestError(Exception):
    """The client does not speak RTSP; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str]
    """Names in lower case: they do not depend on it (RFC 2326 §4 after RFC 2068 §4.2)."""

    @classmethod
    def parse(cls, head: str) -> Request:
        """Return the request whose lines up to the empty one are `head`."""
        first, *lines = head.split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or parts[2] != "RTSP/1.0":
            raise MalformedRequestError(f"request line {first[:80]!r}; allowed `METHOD URL RTSP/1.0`")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedRequestError(f"header line {line[:80]!r}; allowed `Name: value`")
            headers[name.strip().lower()] = value.strip()
        return cls(parts[0], parts[1], headers)


class RequestReader:
    """Bytes of a connection in, requests out. Interleaved packets (a client's RTCP) are let pass."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        """Yield the requests that `data` completes.

        Raises:
            MalformedRequestError: what follows cannot be told from what is broken; nothing more is read.
        """
        self._buffer += data
        while self._buffer:
            if self._buffer[:1] == b"$":
                if not self._take_packet():
                    return
            elif (request := self._take_request()) is not None:
                yield request
            else:
                return

    def _take_packet(self) -> bool:
        if len(self._buffer) < 4:
            return False
        length = 4 + int.from_bytes(self._buffer[2:4])
        if len(self._buffer) < length:
            return False
        del self._buffer[:length]
        return True

    def _take_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEADER_BYTES:
                raise MalformedRequestError(f"{len(self._buffer)} header bytes; allowed {_MOST_HEADER_BYTES}")
            return None
        request = Request.parse(self._buffer[:end].decode("utf-8", "replace").lstrip("\r\n"))
        length = request.headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > _MOST_BODY_BYTES:
            raise MalformedRequestError(f"content-length {length[:20]!r}; allowed 0..{_MOST_BODY_BYTES}")
        whole = end + 4 + int(length)
        if len(self._buffer) < whole:
            return None
        del self._buffer[:whole]
        return request


def response(status: Status, request: Request | None, headers: Mapping[str, str], body: str = "") -> bytes:
    """Return the answer to `request` as it goes on the wire, RFC 2326 §7."""
    reason = "OK" if status is Status.OK else status.name.replace("_", " ").title()
    lines = [f"RTSP/1.0 {status.value} {reason}"]
    if request is not None and (sequence := request.headers.get("cseq")) is not None:
        lines.append(f"CSeq: {sequence}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
