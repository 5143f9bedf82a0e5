"""Run in a container of the stack: the owner signs in from the stack's own page, and calls a service.

By authorization code with PKCE, in the page's own requests; only Keycloak's form is filled without a browser.
Prints one JSON object.
"""

import asyncio
import html
import json
import re
import secrets
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import yaml


async def main(origin: str, owner: dict[str, str]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=origin, timeout=15.0) as http:
        token = await sign_in(http, "owners", owner["username"], owner["password"])
        return {
            "with_token": await cameras(http, {"Authorization": f"Bearer {token}"}),
            "without": await cameras(http, {}),
        }


async def cameras(http: httpx.AsyncClient, headers: dict[str, str]) -> int:
    return (await http.get("/registry/v1/cameras", headers=headers)).status_code


async def sign_in(http: httpx.AsyncClient, realm: str, name: str, password: str) -> str:
    """An access token.

    Args:
        http: its base is the origin that serves the page; it follows no redirect.
        realm: the first of the page's issuers that speaks for it is asked.
        name: who signs in.
        password: good for longer than this time.
    """
    page = str(http.base_url.join("/demo/"))
    assert 'src="demo.js"' in (await get(http, page)).text
    issuer = next(each for each in (await get(http, f"{page}issuers")).json() if each["realm"] == realm)
    discovery = (await get(http, f"{issuer['issuer']}/.well-known/openid-configuration")).json()
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    form = await http.get(
        discovery["authorization_endpoint"],
        params={
            "client_id": issuer["client_id"],
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": page,
            "state": state,
            "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        },
    )
    answer = await fill(http, form, username=name, password=password)
    location = answer.headers.get("location", "")
    query = parse_qs(urlsplit(location).query)
    assert location.startswith(f"{page}?"), f"{answer.status_code} to `{location}`: {answer.text[:2000]}"
    assert query["state"] == [state]
    await get(http, location)  # the page is there, too, where the browser is sent back to
    tokens = await http.post(
        discovery["token_endpoint"],
        data={
            "client_id": issuer["client_id"],
            "grant_type": "authorization_code",
            "code": query["code"][0],
            "redirect_uri": page,
            "code_verifier": verifier,
        },
    )
    assert tokens.is_success, tokens.text
    return str(tokens.json()["access_token"])


async def get(http: httpx.AsyncClient, url: str) -> httpx.Response:
    answer = await http.get(url)
    assert answer.status_code == httpx.codes.OK, f"{url}: {answer.status_code} {answer.text[:2000]}"
    return answer


async def fill(http: httpx.AsyncClient, shown: httpx.Response, **fields: str) -> httpx.Response:
    """What comes of sending the form that is shown."""
    action = re.search(r'<form[^>]* action="([^"]+)"', shown.text)
    assert action is not None, f"no form: {shown.status_code} {shown.text[:2000]}"
    hidden = dict(re.findall(r'<input type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', shown.text))
    return await http.post(html.unescape(action[1]), data={**hidden, **fields})


if __name__ == "__main__":
    cast = yaml.safe_load(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(json.dumps(asyncio.run(main(sys.argv[1], cast["owner"]["form"]))))  # noqa: T201
