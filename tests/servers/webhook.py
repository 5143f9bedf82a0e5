"""An HTTP server that notes what is posted to it."""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LOOK_S = 0.05


class Webhook:
    """Listens on a free loopback port in a thread of its own.

    with Webhook() as webhook: … webhook.url
    """

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []
        """Every body, parsed, with the request's `Authorization`."""
        noted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                noted.append((self.headers.get("authorization", ""), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    async def until(self, holds: Callable[[Any], bool], timeout_s: float) -> Any:
        """The first body, of those posted and those to come, for which it holds."""
        async with asyncio.timeout(timeout_s):
            while True:
                for _, body in self.posted:
                    if holds(body):
                        return body
                await asyncio.sleep(LOOK_S)
