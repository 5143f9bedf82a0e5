"""The player that pages import: `/relay/v1/player.js`, an ES module without dependencies."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/javascript; charset=utf-8",
    # A page must not run yesterday's rules about when pictures may be seen.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def player_routes() -> APIRouter:
    """Serves the player as it is packaged, read once."""
    router = APIRouter(prefix="/relay/v1")
    script = (files("feedgate_relay") / "player" / "player.js").read_bytes()

    @router.get("/player.js", include_in_schema=False)
    async def player() -> Response:
        return Response(script, headers=dict(HEADERS))

    return router
