"""An issuer's keys over HTTP: discovered, kept, rotated, and gone."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from feedgate_kit.identity import IssuerConfig, IssuerUnavailableError, TokenError, TokenVerifier
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import LocalIssuer

ISSUER = "https://login.example/realms/owners"
DISCOVERY = "/realms/owners/.well-known/openid-configuration"
JWKS = "/realms/owners/jwks"


@dataclass
class Site:
    """What the issuer's address answers."""

    signer: LocalIssuer
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False
    gate: asyncio.Event | None = None

    def publish(self) -> None:
        self.answers = {
            DISCOVERY: {"issuer": ISSUER, "jwks_uri": "https://login.example" + JWKS},
            JWKS: self.signer.jwks,
        }

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise httpx.ConnectError("refused")
        answer = self.answers[request.url.path]
        response: httpx.Response = answer() if callable(answer) else httpx.Response(200, json=answer)
        return response


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def site(clock: SteppedClock) -> Site:
    site = Site(LocalIssuer.generate(ISSUER, clock, realm="owners", lifetime_s=100_000))
    site.publish()
    return site


@pytest.fixture
def verifier(site: Site, clock: SteppedClock) -> TokenVerifier:
    config = IssuerConfig(issuer=ISSUER, realm="owners")
    return TokenVerifier([config], clock, transport=httpx.MockTransport(site.answer))


async def settled() -> None:
    """Let fetches behind the requests come to their end."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_keys_are_discovered_once_and_serve_all(verifier: TokenVerifier, site: Site) -> None:
    for _ in range(3):
        await verifier.verify(site.signer.mint("ana", []))
    assert site.asked == [DISCOVERY, JWKS]


async def test_a_configured_address_needs_no_discovery(site: Site, clock: SteppedClock) -> None:
    config = IssuerConfig(issuer=ISSUER, realm="owners", jwks_uri="https://login.example" + JWKS)
    await TokenVerifier([config], clock, transport=httpx.MockTransport(site.answer)).verify(
        site.signer.mint("ana", [])
    )
    assert site.asked == [JWKS]


async def test_no_issuer_is_asked_for_a_token_of_another(verifier: TokenVerifier, site: Site) -> None:
    with pytest.raises(TokenError):
        await verifier.verify(site.signer.mint("ana", [], iss="https://elsewhere.example"))
    assert site.asked == []


async def test_many_first_tokens_at_once_cost_one_fetch(verifier: TokenVerifier, site: Site) -> None:
    site.gate = asyncio.Event()
    waiting = [asyncio.create_task(verifier.verify(site.signer.mint("ana", []))) for _ in range(20)]
    await settled()
    waiting.pop().cancel()  # one caller going away lets nobody else down
    site.gate.set()
    await asyncio.gather(*waiting)
    assert site.asked == [DISCOVERY, JWKS]


async def test_a_rotated_key_is_fetched_when_its_kid_appears(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    before = site.signer.mint("ana", [])
    await verifier.verify(before)
    clock.advance(10)
    site.signer = LocalIssuer.generate(ISSUER, clock, realm="owners")
    site.publish()
    await verifier.verify(site.signer.mint("ana", []))
    with pytest.raises(TokenError) as raised:
        await verifier.verify(before)
    assert raised.value.code == "signature-wrong"


async def test_unknown_kids_cannot_make_us_flood_the_issuer(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    await verifier.verify(site.signer.mint("ana", []))
    clock.advance(10)
    site.asked.clear()
    for _ in range(50):
        forged = LocalIssuer.generate(ISSUER, clock, realm="owners").mint("ana", [])
        with pytest.raises(TokenError):
            await verifier.verify(forged)
    assert site.asked == [DISCOVERY, JWKS]


async def test_old_keys_serve_on_while_they_are_fetched_again(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    await verifier.verify(site.signer.mint("ana", []))
    clock.advance(301)
    site.asked.clear()
    site.gate = asyncio.Event()
    async with asyncio.timeout(1):
        await verifier.verify(site.signer.mint("ana", []))
    await settled()
    assert site.asked == [DISCOVERY]
    await verifier.aclose()


async def test_a_withdrawn_key_is_believed_no_longer_than_until_the_next_fetch(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    stolen = site.signer.mint("ana", [])
    await verifier.verify(stolen)
    site.signer = LocalIssuer.generate(ISSUER, clock, realm="owners")
    site.publish()
    clock.advance(301)
    await verifier.verify(stolen)  # starts the fetch
    await settled()
    with pytest.raises(TokenError):
        await verifier.verify(stolen)


async def test_keys_outlive_their_issuer_by_an_hour_and_no_more(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    token = site.signer.mint("ana", [])
    await verifier.verify(token)
    site.down = True
    clock.advance(3599)
    await verifier.verify(token)
    await settled()
    clock.advance(1)
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify(token)
    clock.advance(10)
    site.down = False
    await verifier.verify(token)


async def test_an_issuer_that_is_down_refuses_nobody_and_is_not_hammered(
    verifier: TokenVerifier, site: Site, clock: SteppedClock
) -> None:
    site.down = True
    for _ in range(10):
        with pytest.raises(IssuerUnavailableError):
            await verifier.verify(site.signer.mint("ana", []))
    assert site.asked == [DISCOVERY]
    site.down = False
    clock.advance(5)
    await verifier.verify(site.signer.mint("ana", []))


GOOD = {"issuer": ISSUER, "jwks_uri": "https://login.example" + JWKS}


def text(body: str | bytes, status: int = 200, **headers: str) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, content=body, headers=headers)


def document(body: Any) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(200, json=body)


UNUSABLE = [
    pytest.param(DISCOVERY, document(GOOD | {"issuer": ISSUER + "/"}), id="another issuer"),
    pytest.param(DISCOVERY, document({"jwks_uri": GOOD["jwks_uri"]}), id="no issuer"),
    pytest.param(
        DISCOVERY, document(GOOD | {"jwks_uri": "http://login.example/jwks"}), id="keys in the clear"
    ),
    pytest.param(
        DISCOVERY, document(GOOD | {"jwks_uri": "http://127.0.0.1/jwks"}), id="keys on our loopback"
    ),
    pytest.param(DISCOVERY, document(GOOD | {"jwks_uri": "file:///etc/passwd"}), id="keys in a file"),
    pytest.param(DISCOVERY, document(GOOD | {"jwks_uri": None}), id="no address of keys"),
    pytest.param(DISCOVERY, document([GOOD]), id="a list"),
    pytest.param(DISCOVERY, text("<html>"), id="no JSON"),
    pytest.param(DISCOVERY, text("[" * 100_000), id="deep JSON"),
    pytest.param(DISCOVERY, text("{}", 404), id="not found"),
    pytest.param(DISCOVERY, text("", 302, location="https://elsewhere.example/"), id="elsewhere"),
    pytest.param(DISCOVERY, text(b" " * 300_000), id="endless"),
    pytest.param(JWKS, document({"keys": []}), id="no keys"),
    pytest.param(JWKS, document({"keys": [{"kty": "oct", "k": "AAAA"}]}), id="only shared keys"),
    pytest.param(JWKS, document({"keys": {"kid": 1}}), id="keys that are none"),
    pytest.param(JWKS, text("", 500), id="an error"),
]


@pytest.mark.parametrize(("path", "answer"), UNUSABLE)
async def test_an_unusable_answer_leaves_what_was_known(
    verifier: TokenVerifier, site: Site, clock: SteppedClock, path: str, answer: Callable[[], httpx.Response]
) -> None:
    token = site.signer.mint("ana", [])
    await verifier.verify(token)
    site.answers[path] = answer
    clock.advance(301)
    await verifier.verify(token)
    await settled()
    await verifier.verify(token)


@pytest.mark.parametrize(("path", "answer"), UNUSABLE)
async def test_an_unusable_first_answer_makes_the_issuer_unavailable(
    verifier: TokenVerifier, site: Site, path: str, answer: Callable[[], httpx.Response]
) -> None:
    site.answers[path] = answer
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify(site.signer.mint("ana", []))
