"""The most a request's body may hold."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedgate_kit.problems import Problem


class BodyLimit:
    """ASGI middleware: a longer body is 413, whether its length was said beforehand or not.

    Not `FastAPI(max_body_size=...)`: that answers plain text, and by exceptions of its own that pass
    through every middleware around it.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        detail = f"the body is longer than {self._max_body_bytes} bytes"
        if _said_length(scope) > self._max_body_bytes:
            # The rest of the body is not read, so the connection cannot serve another request.
            refusal = Problem(413, "body-too-large", detail=detail, headers={"Connection": "close"})
            await refusal.response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                # What FastAPI lets through where it reads a body; the problem handlers do the rest.
                raise HTTPException(413, detail, headers={"Connection": "close"})
            return message

        await self.app(scope, counted, send)


def _said_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:19])
    return 0
