"""Every internal route of every service wants a service's token with that route's role, on the internal port.

The routes are those of the apps themselves: one that is added unprotected is found here.
"""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.composition import Composition
from feedgate_kit.identity import REALM_ROLES, Realm
from feedgate_kit.ids import new_id
from feedgate_kit.service import Service
from feedgate_kit.tokens import LocalIssuer

FOR_EVERYBODY = {"/metrics", "/healthz", "/readyz"}
AGENCY = Agency(id="metro-police", name="Metro Police", jurisdiction="AR", issuer="urn:test:agency")
CLOCK = SystemClock()
ISSUERS: Mapping[Realm, LocalIssuer] = {
    realm: LocalIssuer.generate(
        f"urn:test:{realm}", CLOCK, realm=realm, agency=AGENCY.id if realm == "agency" else None
    )
    for realm in REALM_ROLES
}
SERVICE_ROLES = sorted(REALM_ROLES["services"])


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Composition]:
    """Every service there is, put together as they are, without being served."""
    with open_data_folder(tmp_path / "data") as data:
        issuers = [issuer.config() for issuer in ISSUERS.values()]
        async with one_box(
            data, UpSettings(), issuers=issuers, agencies={AGENCY.id: AGENCY}, clock=CLOCK
        ) as composition:
            yield composition


def internal_routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of everything the app answers but what everybody may ask."""
    found = []
    for route in iter_route_contexts(app.routes):
        assert route.path is not None, f"{route} is not one whose protection can be tried here"
        assert route.methods, f"{route} is not one whose protection can be tried here"
        if route.path not in FOR_EVERYBODY:
            path = re.sub(r"\{[^}]+\}", new_id(), route.path)
            found += [(method, path) for method in sorted(route.methods)]
    return found


async def answer(app: ASGIApp, method: str, path: str, token: str | None) -> tuple[int, str]:
    """Status and problem code."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as http:
        response = await http.request(method, path, headers=headers)
    problem = response.json() if response.headers.get("content-type") == "application/problem+json" else {}
    return response.status_code, str(problem.get("type", "")).rsplit(":", 1)[-1]


def token_of(realm: Realm, *roles: str) -> str:
    return ISSUERS[realm].mint("somebody", roles)


async def open_to(app: ASGIApp, method: str, path: str) -> set[str]:
    """Who is let in: `nobody named`, a realm with all of its roles, or a service's role."""
    tokens = {"nobody named": None, "a forged token": token_of("services", *SERVICE_ROLES)[:-8] + "AAAAAAAA"}
    tokens |= {
        f"realm {realm}": token_of(realm, *roles, *SERVICE_ROLES)
        for realm, roles in REALM_ROLES.items()
        if realm != "services"
    }
    tokens["a service without a role"] = token_of("services")
    tokens |= {f"service {role}": token_of("services", role) for role in SERVICE_ROLES}
    refusals = {(401, "token-missing"), (401, "signature-wrong"), (403, "role-missing")}
    return {who for who, token in tokens.items() if await answer(app, method, path, token) not in refusals}


async def unprotected(service: Service) -> list[str]:
    """Routes that are not open to exactly one service's role."""
    wrong = []
    for method, path in internal_routes(service.internal):
        let_in = await open_to(service.internal, method, path)
        if len(let_in) != 1 or not next(iter(let_in)).startswith("service "):
            wrong.append(f"{service.name}: {method} {path} lets in {sorted(let_in)}")
    return wrong


async def test_every_internal_route_wants_the_role_of_one_service(box: Composition) -> None:
    assert {service.name for service in box.services} == REALM_ROLES["services"]
    assert [problem for service in box.services for problem in await unprotected(service)] == []
    # So that a change of how routes are listed cannot make this test look at nothing.
    assert sum(len(internal_routes(service.internal)) for service in box.services) >= 2


async def test_no_internal_route_answers_on_the_public_port(box: Composition) -> None:
    everything = token_of("services", *SERVICE_ROLES)
    for service in box.services:
        for method, path in [*internal_routes(service.internal), ("GET", "/metrics")]:
            for public in (service.public, box.public_app):
                assert await answer(public, method, path, everything) == (404, "not-found"), path


async def test_a_route_that_was_added_unprotected_is_found(box: Composition) -> None:
    service = box.services[0]

    @service.internal.get("/internal/v1/added/{name}")
    async def added(name: str) -> str:
        return name

    [problem] = await unprotected(service)
    assert problem.startswith(f"{service.name}: GET /internal/v1/added/")
    assert "'nobody named'" in problem
