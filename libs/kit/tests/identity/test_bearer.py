"""Who may call a route, and what the others are told."""

from collections.abc import AsyncIterator
from io import StringIO
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from feedgate_kit.identity import (
    IssuerConfig,
    Operator,
    Owner,
    Principal,
    TokenVerifier,
    require_role,
    service,
)
from feedgate_kit.service import create_public_app
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.telemetry import configure_logging
from feedgate_kit.tokens import LocalIssuer


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def owners(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate("https://login.example/owners", clock, realm="owners")


@pytest.fixture
def metro(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate("https://login.example/metro", clock, realm="agency", agency="metro")


@pytest.fixture
def services(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate("urn:feedgate:services", clock)


@pytest.fixture
def app(owners: LocalIssuer, metro: LocalIssuer, services: LocalIssuer, clock: SteppedClock) -> FastAPI:
    async def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    verifier = TokenVerifier(
        [
            owners.config(),
            metro.config(),
            services.config(),
            IssuerConfig(issuer="https://down.example", realm="owners"),
        ],
        clock,
        transport=httpx.MockTransport(refuse),
    )
    app = create_public_app("hall", verifier)

    @app.get("/hall/v1/owner")
    async def for_owners(caller: Owner) -> str:
        return caller.subject

    @app.get("/hall/v1/operator")
    async def for_operators(caller: Operator) -> str:
        return caller.subject

    @app.get("/hall/v1/police")
    async def for_police(
        caller: Annotated[Principal, Depends(require_role("operator", "supervisor"))],
    ) -> str:
        return caller.subject

    @app.get("/hall/v1/ingest")
    async def for_ingest(caller: Annotated[Principal, Depends(service("ingest"))]) -> str:
        return caller.subject

    return app


@pytest.fixture
async def hall(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hall/hall/v1/"
    ) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    code: str = answer.json()["type"].removeprefix("urn:feedgate:problem:")
    return code


async def test_each_route_lets_its_role_in_and_nobody_else(
    hall: httpx.AsyncClient, owners: LocalIssuer, metro: LocalIssuer, services: LocalIssuer
) -> None:
    everything = ["owner", "operator", "supervisor", "system", "auditor", "ingest", "relay"]
    callers = {
        "owner": owners.mint("ana", everything),
        "operator": metro.mint("officer-7", ["operator"]),
        "supervisor": metro.mint("chief", ["supervisor"]),
        "ingest": services.mint("ingest", ["ingest"]),
        "relay": services.mint("relay", ["relay", "operator", "owner"]),
        "nobody": metro.mint("guest", []),
    }
    allowed = {
        (route, caller)
        for route in ("owner", "operator", "police", "ingest")
        for caller, token in callers.items()
        if (await hall.get(route, headers=bearer(token))).status_code == 200
    }
    assert allowed == {
        ("owner", "owner"),
        ("operator", "operator"),
        ("police", "operator"),
        ("police", "supervisor"),
        ("ingest", "ingest"),
    }


async def test_a_missing_role_is_403_and_named(hall: httpx.AsyncClient, metro: LocalIssuer) -> None:
    answer = await hall.get("police", headers=bearer(metro.mint("guest", [])))
    assert (answer.status_code, code_of(answer)) == (403, "role-missing")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("authorization", [None, "Basic dXNlcjpwYXNz", "Bearer", "Bearer   ", ""])
async def test_without_a_token_the_challenge_has_no_error(
    hall: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await hall.get("owner", headers=headers)
    assert (answer.status_code, code_of(answer)) == (401, "token-missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="feedgate"'


async def test_a_token_in_the_address_counts_for_nothing(
    hall: httpx.AsyncClient, owners: LocalIssuer
) -> None:
    answer = await hall.get("owner", params={"access_token": owners.mint("ana", [])})
    assert code_of(answer) == "token-missing"


async def test_two_tokens_are_refused(hall: httpx.AsyncClient, owners: LocalIssuer) -> None:
    value = f"Bearer {owners.mint('ana', [])}"
    answer = await hall.get("owner", headers=[("authorization", value), ("authorization", value)])
    assert (answer.status_code, code_of(answer)) == (401, "token-malformed")


async def test_each_fault_of_a_token_is_401_with_its_code_and_never_the_token(
    hall: httpx.AsyncClient, owners: LocalIssuer, clock: SteppedClock
) -> None:
    log = StringIO()
    configure_logging(stream=log)
    foreign = LocalIssuer.generate("https://elsewhere.example", clock, realm="owners")
    forger = LocalIssuer.generate(owners.issuer, clock, realm="owners")
    tokens = {
        "token-malformed": "eyJhbGciOiJub25lIn0.AAAA.BBBB",
        "token-expired": owners.mint("ana", [], lifetime_s=-60),
        "token-not-yet-valid": owners.mint("ana", [], nbf=clock.now_us() // 1_000_000 + 60),
        "issuer-unknown": foreign.mint("ana", []),
        "audience-wrong": owners.mint("ana", [], aud="another"),
        "signature-wrong": forger.mint("ana", []),
    }
    for code, token in tokens.items():
        answer = await hall.get("owner", headers=bearer(token))
        assert (answer.status_code, code_of(answer)) == (401, code)
        assert answer.headers["www-authenticate"] == (
            f'Bearer realm="feedgate", error="invalid_token", error_description="{code}"'
        )
        for part in token.split("."):
            assert part not in answer.text
            assert part not in log.getvalue()


async def test_an_issuer_that_is_down_is_503_not_401(hall: httpx.AsyncClient, clock: SteppedClock) -> None:
    down = LocalIssuer.generate("https://down.example", clock, realm="owners")
    answer = await hall.get("owner", headers=bearer(down.mint("ana", [])))
    assert (answer.status_code, code_of(answer)) == (503, "issuer-unavailable")
    assert answer.headers["retry-after"]


def test_a_role_no_realm_can_give_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="operater"):
        require_role("operater")
