"""A caller's own tokens: asked for once, kept, renewed in time."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from feedgate_kit.identity import TokenVerifier
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import ClientCredentials, LocalIssuer, TokenUnavailableError

URL = "https://login.example/token"


class Endpoint:
    """Gives `token-1`, `token-2`, …; each lives a minute."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.answer: httpx.Response | Exception | None = None
        self.expires_in: Any = 60

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(parse_qs(request.content.decode()))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or httpx.Response(
            200, json={"access_token": f"token-{len(self.asked)}", "expires_in": self.expires_in}
        )


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def source(endpoint: Endpoint, clock: SteppedClock) -> ClientCredentials:
    return ClientCredentials(URL, "ingest", "hunter2", clock, transport=httpx.MockTransport(endpoint))


async def test_a_token_is_kept_until_shortly_before_its_end(
    source: ClientCredentials, endpoint: Endpoint, clock: SteppedClock
) -> None:
    seen = [await source()]
    clock.advance(49.9)
    seen.append(await source())
    clock.advance(0.1)
    seen.append(await source())
    assert seen == ["token-1", "token-1", "token-2"]
    assert endpoint.asked[0] == {
        "grant_type": ["client_credentials"],
        "client_id": ["ingest"],
        "client_secret": ["hunter2"],
    }


async def test_the_wall_clock_may_step(source: ClientCredentials, clock: SteppedClock) -> None:
    await source()
    clock.step(-86_400)
    clock.advance(50)
    assert await source() == "token-2"


async def test_many_callers_at_once_ask_once(source: ClientCredentials, endpoint: Endpoint) -> None:
    assert set(await asyncio.gather(*[source() for _ in range(20)])) == {"token-1"}
    assert len(endpoint.asked) == 1


async def test_a_token_without_a_lifetime_is_used_once(source: ClientCredentials, endpoint: Endpoint) -> None:
    endpoint.expires_in = 5
    assert [await source(), await source()] == ["token-1", "token-2"]


async def test_a_token_that_lasts_is_used_while_its_issuer_does_not_answer(
    source: ClientCredentials, endpoint: Endpoint, clock: SteppedClock
) -> None:
    assert await source() == "token-1"
    clock.advance(50)
    endpoint.answer = httpx.ReadTimeout("late")
    assert await source() == "token-1"
    asked = len(endpoint.asked)
    assert await source() == "token-1"
    assert len(endpoint.asked) == asked, "nobody waits for the issuer again at once"
    clock.advance(8)
    with pytest.raises(TokenUnavailableError):
        await source()


async def test_a_client_that_its_issuer_refuses_goes_on_with_no_token(
    source: ClientCredentials, endpoint: Endpoint, clock: SteppedClock
) -> None:
    assert await source() == "token-1"
    clock.advance(50)
    endpoint.answer = httpx.Response(401, json={"error": "invalid_client"})
    with pytest.raises(TokenUnavailableError):
        await source()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused by hunter2"),
        httpx.ReadTimeout("late"),
        httpx.Response(401, json={"error": "invalid_client", "error_description": "hunter2 is wrong"}),
        httpx.Response(400, json=["hunter2"]),
        httpx.Response(200, json={"token": "hunter2"}),
        httpx.Response(200, json={"access_token": 5}),
        httpx.Response(200, json={"access_token": "hunter2", "expires_in": "soon"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="<html>hunter2"),
        httpx.Response(302, headers={"location": "https://elsewhere.example"}),
    ],
    ids=str,
)
async def test_no_token_is_an_error_without_secrets_and_the_next_call_tries_again(
    source: ClientCredentials, endpoint: Endpoint, answer: httpx.Response | Exception
) -> None:
    endpoint.answer = answer
    with pytest.raises(TokenUnavailableError) as raised:
        await source()
    assert raised.value.retriable
    assert "hunter2" not in str(raised.value)
    endpoint.answer = None
    assert await source() == "token-2"


async def test_a_local_issuers_tokens_are_believed_by_who_has_its_config(clock: SteppedClock) -> None:
    issuer = LocalIssuer.generate("urn:feedgate:box", clock)
    verifier = TokenVerifier([issuer.config()], clock)
    source = issuer.token_source("ingest", ["ingest"])
    principal = await verifier.verify(await source())
    assert (principal.realm, principal.subject, principal.roles) == (
        "services",
        "ingest",
        frozenset({"ingest"}),
    )
    clock.advance(3600)
    await verifier.verify(await source())
