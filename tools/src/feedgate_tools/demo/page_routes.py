"""The demo's page: its files, and the one exchange that gives it two people's tokens.

Whoever opens the page holds the owner's and the operator's accounts, so it is
for a browser on this machine alone: the connection comes from loopback, the
`Host` is a name of loopback (a page of another site that made its own name
resolve here is refused: DNS rebinding), and the `Origin`, where there is one,
is this very page's.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final, Protocol
from urllib.parse import urlsplit

import jwt
from fastapi import APIRouter, FastAPI
from fastapi.responses import RedirectResponse, Response
from prometheus_client import CollectorRegistry
from pydantic import Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedgate_kit.body_limit import BodyLimit
from feedgate_kit.clock import MICROSECONDS, Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.http import ApiModel
from feedgate_kit.identity import Owner, TokenVerifier, is_loopback
from feedgate_kit.metrics import HttpMetrics
from feedgate_kit.problems import Problem, install_problem_handlers
from feedgate_kit.telemetry import RequestTelemetry

STRICT_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=()",
}

MEDIA_TYPES: Final[Mapping[str, str]] = {
    "index.html": "text/html; charset=utf-8",
    "demo.css": "text/css; charset=utf-8",
    "demo.js": "text/javascript; charset=utf-8",
    "sign_in.js": "text/javascript; charset=utf-8",
}
"""Every file there is; no path of a request is ever one of the file system."""

MAXIMUM_BODY_BYTES: Final = 4096
CODE_BYTES: Final = 32


class StoryError(FeedgateError):
    """A step of the story did not happen; the message says which, for the person at the page."""


class PageSession(ApiModel):
    """What the page works with: two people's tokens and the things they act on."""

    owner_token: str
    operator_token: str
    camera_id: str
    authorisation_id: str
    grant_id: str
    why: str = Field(description="what the grant is for, in a sentence for the reader")


class PageAnswer(PageSession):
    """The same, and for how long."""

    expires_in_s: int = Field(description="until the first of the tokens ends")


class Exchange(ApiModel):
    """The code from the link that the demo printed."""

    code: str = Field(max_length=200)


class PageStory(Protocol):
    """What the page needs of the demo that tells the story."""

    async def session(self) -> PageSession:
        """The session as it is, with tokens that are good for a while."""
        ...

    async def begin_again(self) -> PageSession:
        """A new authorisation, request, approval and grant after a stop.

        Raises:
            StoryError: one of these was refused.
        """
        ...


class OneUseCode:
    """The secret in the printed link. Whoever shows it first has the page; it opens nothing twice."""

    def __init__(self) -> None:
        self._unused: str | None = secrets.token_urlsafe(CODE_BYTES)
        self._replaced: set[str] = set()

    @property
    def text(self) -> str:
        """What to print; empty once it was used."""
        return self._unused or ""

    def renew(self) -> str:
        """Another code to print, in place of the one before, whether that was used or not."""
        if self._unused is not None:
            self._replaced.add(self._unused)
        self._unused = secrets.token_urlsafe(CODE_BYTES)
        return self._unused

    def was_replaced(self, code: str) -> bool:
        """Whether this was the code until another took its place, unused."""
        return code in self._replaced

    def use(self, code: str) -> bool:
        """Whether this was the code, for the first time. A wrong one costs nothing: it cannot be guessed."""
        unused = self._unused
        if unused is None or not secrets.compare_digest(unused.encode(), code.encode()):
            return False
        self._unused = None
        return True


def create_page_app(story: PageStory, code: OneUseCode, verifier: TokenVerifier, clock: Clock) -> FastAPI:
    """The app of everything under `/demo`; give it to `feedgate_kit.composition.compose` as `extra`.

    Args:
        story: begins again when asked.
        code: the one in the link `/demo/#<code>`.
        verifier: knows the owner's issuer.
        clock: to tell when tokens end.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.verifier = verifier
    install_problem_handlers(app, {StoryError: (502, "story-failed")})
    app.include_router(_routes(story, code, clock))
    app.add_middleware(BodyLimit, max_body_bytes=MAXIMUM_BODY_BYTES)
    app.add_middleware(RequestTelemetry, metrics=HttpMetrics(CollectorRegistry()))
    app.add_middleware(LoopbackPage)
    app.add_middleware(StrictPage)
    return app


def _routes(story: PageStory, code: OneUseCode, clock: Clock) -> APIRouter:
    router = APIRouter(prefix="/demo")
    one_at_a_time = asyncio.Lock()

    @router.get("")
    async def without_slash() -> Response:
        return RedirectResponse("/demo/", status_code=308)

    @router.post("/exchange")
    async def exchange(shown: Exchange) -> PageAnswer:
        if code.was_replaced(shown.code):
            raise Problem(
                403, "code-replaced", detail="a later link has taken the place of this one, which nobody used"
            )
        if not code.use(shown.code):
            raise Problem(
                403,
                "code-used",
                detail="the link was used before, or is not the demo's; Enter in its terminal gives another",
            )
        return _answer(await story.session(), clock)

    @router.post("/renew")
    async def renew(owner: Owner) -> PageAnswer:
        """Fresh tokens for a page that is still open."""
        del owner
        return _answer(await story.session(), clock)

    @router.post("/again")
    async def again(owner: Owner) -> PageAnswer:
        del owner
        async with one_at_a_time:
            return _answer(await story.begin_again(), clock)

    @router.get("/")
    @router.get("/{name}")
    async def file(name: str = "index.html") -> Response:
        if name not in MEDIA_TYPES:
            raise Problem(404, "not-found", detail="no such file of the page")
        return page_file(name)

    return router


def page_file(name: str) -> Response:
    """One of the page's files."""
    content = (files("feedgate_tools.demo") / "page" / name).read_bytes()
    return Response(content, headers={"Content-Type": MEDIA_TYPES[name]})


def strict_headers(connects_to: Iterable[str] = ()) -> Mapping[str, str]:
    """Of every answer: nothing from elsewhere, no inline script or style, no text that becomes markup.

    Args:
        connects_to: further origins that the page may call.
    """
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        " ".join(["connect-src 'self'", *connects_to]),
        "media-src blob:",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {"Content-Security-Policy": "; ".join(policy), **STRICT_HEADERS}


def _answer(session: PageSession, clock: Clock) -> PageAnswer:
    ends = [_end_of(token) for token in (session.owner_token, session.operator_token)]
    left_s = min(ends) - clock.now_us() // MICROSECONDS
    return PageAnswer(**session.model_dump(), expires_in_s=max(0, left_s))


def _end_of(token: str) -> int:
    """`exp` of a token of our own, in seconds since the epoch; it is verified where it is used."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"])


class StrictPage:
    """ASGI middleware: every answer carries the strict headers."""

    def __init__(self, app: ASGIApp, connects_to: Iterable[str] = ()) -> None:
        self.app = app
        self.headers = strict_headers(connects_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        await self.app(scope, receive, send_strictly)


class LoopbackPage:
    """ASGI middleware: this machine's browser on this page's own origin, or nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        stranger = why_stranger(scope)
        if stranger is None:
            await self.app(scope, receive, send)
        else:
            refusal = Problem(403, "page-is-local", detail=stranger, headers={"Connection": "close"})
            await refusal.response()(scope, receive, send)


def why_stranger(scope: Scope) -> str | None:
    """Why this request is not from this machine's browser on this page; None if it is."""
    headers = Headers(scope=scope)
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        return "the page is for a browser on the machine that runs the demo"
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name is None or "@" in host or not is_loopback(name):
        return "open the page by the link that the demo printed: the host must be a name of loopback"
    origins = headers.getlist("origin")
    if origins not in ([], [f"{scope['scheme']}://{host}"]):
        return "another page than this one asks"
    from_elsewhere = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    if from_elsewhere and scope["method"] != "GET":
        return "another site asks"
    return None
