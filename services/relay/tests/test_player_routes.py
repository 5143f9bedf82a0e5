"""The player is served as it is packaged, and as a script of this origin alone."""

from importlib.resources import files

import httpx
from fastapi import FastAPI

from feedgate_relay.player_routes import player_routes


async def test_the_player_is_a_strict_script() -> None:
    app = FastAPI()
    app.include_router(player_routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://relay") as client:
        answer = await client.get("/relay/v1/player.js")
    assert answer.content == (files("feedgate_relay") / "player" / "player.js").read_bytes()
    assert b"export class Player" in answer.content
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
