"""uvicorn's HTTP protocol with an end to its patience.

By itself it waits for ever for a request's head, reads one of any length, and leaves a WebSocket handshake
that the library beneath refuses without an answer. Nobody has shown a token yet: each such connection is
a stranger's, and costs a file descriptor.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders

from feedgate_kit.problems import MEDIA_TYPE, Problem

HEAD_WITHIN_S: Final = 10.0
"""From the connection, or from the first byte after an answer, to the end of a request's head."""
MAXIMUM_HEAD_BYTES: Final = 16 * 1024
"""Twice the longest token that a gateway lets through in one line."""
DISCARDED_FOR_S: Final = 1.0
"""How long a refused client may go on sending, so that it reads the answer and no reset (RFC 9112 §9.6)."""

_TOO_LONG: Final = (HeaderLineTooLong, RequestLineTooLong, TooManyHeaders)


class _HeadTooLongError(Exception):
    """Ends the parser's work on a head."""


class HttpProtocol(HttpToolsProtocol):
    """Give it to uvicorn as `http=`; it hands WebSocket upgrades on like its parent."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_body = False
        self._is_too_long = False
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the parent
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if not self._is_answering:
            self._await_head()  # the parent's own deadline, between requests, ends with the first byte
        if not self._in_body:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and not self._in_body and self._head_bytes > MAXIMUM_HEAD_BYTES:
            self._refuse(_too_long())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()  # also of one that comes while another is answered

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        self._in_body = True
        length_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length_bytes > MAXIMUM_HEAD_BYTES:
            self._is_too_long = True
            raise _HeadTooLongError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        upgraded = self.transport.get_protocol()
        if isinstance(upgraded, WebSocketsSansIOProtocol) and not upgraded.handshake_initiated:
            # `websockets` has refused the head, and uvicorn sends its answer only with a later one.
            cause = upgraded.conn.handshake_exc
            self._answer(_too_long() if isinstance(cause, _TOO_LONG) else _malformed())
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """The parent's answer to what its parser does not take, as problem details."""
        del msg
        self._refuse(_too_long() if self._is_too_long else _malformed())

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._head_bytes == 0:
            self.transport.close()  # nothing was asked
            return
        self._refuse(
            Problem(
                HTTPStatus.REQUEST_TIMEOUT,
                "request-timeout",
                detail=f"a request's head must be there within {HEAD_WITHIN_S:g} s",
            )
        )

    def _refuse(self, problem: Problem) -> None:
        """Answer and let go; without an answer where another has begun."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._is_refused = True
        if not self._is_answering:
            self._answer(problem)
            self.loop.call_later(DISCARDED_FOR_S, self.transport.close)
            if self.transport.can_write_eof():  # TLS has no half of a connection
                self.transport.write_eof()
            return
        if not self.cycle.response_started and not self.pipeline:
            self._answer(problem)
        self.cycle.disconnected = True  # what the app may still say goes nowhere
        self.cycle.message_event.set()
        self.transport.close()

    def _answer(self, problem: Problem) -> None:
        body = json.dumps(problem.document()).encode()
        head = (
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            f"Content-Type: {MEDIA_TYPE}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "\r\n",
        )
        self.transport.write("\r\n".join(head).encode() + body)


def _too_long() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "request-head-too-large",
        detail=f"a request's head may have {MAXIMUM_HEAD_BYTES} bytes; of a WebSocket handshake, 8190 in a line",
    )


def _malformed() -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST, "malformed-request", detail="this is no HTTP/1.1 request (RFC 9112)"
    )
