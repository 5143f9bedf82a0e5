"""The page for signing in as it is deployed: a process of its own, behind the deployed gateway."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from tests.compose.sign_in import cameras, sign_in
from tests.servers.gateway import NOBODY, Gateway
from tests.servers.keycloak import AGENCY, AGENCY_REALM, OWNERS, KeycloakServer
from tests.servers.ports import free_port
from tests.servers.process import ServerProcess

pytestmark = [pytest.mark.needs("nginx"), pytest.mark.timeout(240)]

PYTHON = (sys.executable, "-m")


@pytest.fixture
def page(keycloak: KeycloakServer, tmp_path: Path) -> Iterator[str]:
    """Where its process listens: `host:port`."""
    issuers = tmp_path / "issuers.yaml"
    told = [each.model_dump(mode="json", exclude_none=True) for each in keycloak.issuers()]
    issuers.write_text(yaml.safe_dump(told), encoding="utf-8")
    port = free_port()
    environment = {
        **os.environ,
        "FEEDGATE_DEMO_PAGE_PUBLIC_PORT": str(port),
        "FEEDGATE_DEMO_PAGE_INTERNAL_PORT": "0",
        "FEEDGATE_DEMO_PAGE_ISSUERS_FILE": str(issuers),
    }
    process = ServerProcess(
        "page", [*PYTHON, "feedgate_tools.demo.sign_in_page"], tmp_path / "page.log", environment=environment
    )

    def is_healthy() -> bool:
        check = [*PYTHON, "feedgate_kit.health", "demo-page"]
        return subprocess.run(check, env=environment, check=False, capture_output=True).returncode == 0

    process.start()
    try:
        process.wait_until(is_healthy)
        yield f"127.0.0.1:{port}"
    finally:
        process.end()


@pytest.fixture
async def door(keycloak: KeycloakServer, page: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    """The gateway before the page and the services."""
    agency = Agency(id=AGENCY, name="Metro Police", jurisdiction="AR", issuer=keycloak.issuer(AGENCY_REALM))
    folder = tmp_path / "gateway"
    folder.mkdir()
    with open_data_folder(tmp_path / "data") as data:
        async with (
            one_box(
                data,
                UpSettings(internal_port=0, public_origin="https://feedgate.example.org"),
                issuers=keycloak.issuers(),
                agencies={AGENCY: agency},
                clock=SystemClock(),
            ) as box,
            running(box, Listen("127.0.0.1", 0), Listen("127.0.0.1", 0), shutdown_s=1.0) as at,
        ):
            registry = at.public.origin.removeprefix("http://")
            gateway = Gateway(
                folder,
                {"registry.public": registry, "page.public": page, "relay-1.public": NOBODY},
                ["relay-1.public"],
            )
            gateway.start()
            try:
                yield gateway
            finally:
                gateway.end()


class LikeABrowser(httpx.AsyncHTTPTransport):
    """Cookies marked `Secure` go to loopback over plain http, too."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        answer.headers = httpx.Headers(
            [(name, value.replace("Secure", "")) for name, value in answer.headers.multi_items()]
        )
        return answer


def browser(door: Gateway, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=door.origin, transport=LikeABrowser(verify=door.trust()), timeout=15.0, **options
    )


async def test_an_owner_signs_in_through_the_gateway(door: Gateway, keycloak: KeycloakServer) -> None:
    await keycloak.allow_page(OWNERS, door.origin)
    async with browser(door) as http:
        token = await sign_in(http, "owners", "owner", keycloak.secrets["DEMO_PASSWORD"])
        assert await cameras(http, {"Authorization": f"Bearer {token}"}) == 200
        assert await cameras(http, {}) == 401


async def test_the_page_is_found_without_its_slash_and_is_strict(door: Gateway) -> None:
    async with browser(door) as http:
        bare = await http.get("/demo")
        assert (bare.status_code, bare.headers["location"]) == (301, "/demo/")
        shown = await http.get("/demo/")
        assert shown.headers["content-security-policy"].startswith("default-src 'none'")
        assert [(await http.get(f"/demo/{name}")).status_code for name in ("metrics", "nothing")] == [404] * 2
