"""People sign in to the demo's page at a real Keycloak, by code with PKCE, in a real browser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import SystemClock
from feedgate_kit.listening import Listen, address_of, open_listener
from feedgate_kit.server import running
from feedgate_kit.tokens import TokenEndpoint, TokenSource
from feedgate_tools.demo.sign_in_page import create_sign_in_app
from feedgate_tools.demo.story import Cast, People, Shared, eventually
from tests.servers.keycloak import AGENCY, AGENCY_REALM, OWNERS, KeycloakServer

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(240)]

POOL = "local"
CAMERA = "rtsp://127.0.0.1:554/never-answers"
READY_S = 30.0
OWNER_BUTTON = "Sign in as a camera\N{RIGHT SINGLE QUOTATION MARK}s owner"


@dataclass
class Site:
    """Services and page at one origin."""

    origin: str
    people: People


def signs_in(keycloak: KeycloakServer, realm: str, name: str) -> TokenSource:
    form = {
        "grant_type": "password",
        "client_id": "feedgate-demo",
        "username": name,
        "password": keycloak.secrets["DEMO_PASSWORD"],
    }
    return TokenEndpoint(keycloak.token_url(realm), form, SystemClock())


@pytest.fixture
async def site(keycloak: KeycloakServer, tmp_path: Path) -> AsyncIterator[Site]:
    issuers = keycloak.issuers()
    agency = Agency(id=AGENCY, name="Metro Police", jurisdiction="AR", issuer=keycloak.issuer(AGENCY_REALM))
    with open_data_folder(tmp_path / "data") as data, open_listener(Listen("127.0.0.1", 0)) as listener:
        origin = address_of(listener).origin
        settings = UpSettings(
            internal_port=0, public_origin=origin, pool=POOL, allowed_networks=("127.0.0.1/32",)
        )
        async with (
            one_box(
                data,
                settings,
                issuers=issuers,
                agencies={AGENCY: agency},
                clock=SystemClock(),
                extra={"demo": create_sign_in_app(issuers)},
            ) as box,
            running(
                replace(box, make_socket=lambda _: listener),
                settings.public_listen,
                settings.internal_listen,
                shutdown_s=1.0,
            ),
            httpx.AsyncClient(base_url=origin) as http,
        ):
            for realm in (OWNERS, AGENCY_REALM):
                await keycloak.allow_page(realm, origin)
            await eventually(
                lambda: http.get("/readyz"), lambda answer: answer.is_success, READY_S, "the box"
            )
            cast = Cast(
                owner=signs_in(keycloak, OWNERS, "owner"),
                operator=signs_in(keycloak, AGENCY_REALM, "operator"),
                supervisor=signs_in(keycloak, AGENCY_REALM, "supervisor"),
                developer=signs_in(keycloak, AGENCY_REALM, "operator"),
            )
            yield Site(origin, People(http, cast, agency=AGENCY, pool=POOL))


@asynccontextmanager
async def visitor(browser: Browser) -> AsyncIterator[tuple[BrowserContext, Page]]:
    """A browser of somebody's own. A fault in the page's code fails the test."""
    context = await browser.new_context()
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    yield context, page
    await context.close()
    assert not faults


async def sign_in(page: Page, keycloak: KeycloakServer, button: str, name: str) -> None:
    await page.get_by_role("button", name=button).click()
    await page.locator("#username").fill(name)
    await page.locator("#password").fill(keycloak.secrets["DEMO_PASSWORD"])
    await page.locator("#kc-login").click()


async def kept(context: BrowserContext, page: Page) -> str:
    """Everything that the site has left in the browser."""
    storage = await page.evaluate(
        "() => JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"
    )
    cookies = [
        cookie for cookie in await context.cookies(page.url) if not cookie["path"].startswith("/realms")
    ]
    return f"{storage} {json.dumps(cookies)}"


async def share(site: Site) -> Shared:
    return await site.people.open_share(await site.people.register_camera(CAMERA))


async def test_an_owner_signs_in_and_stops(browser: Browser, keycloak: KeycloakServer, site: Site) -> None:
    shared = await share(site)
    async with visitor(browser) as (context, page):
        await page.goto(f"{site.origin}/demo/")
        await expect(page.locator("#state")).to_have_text("Nobody is signed in")
        await expect(page.get_by_role("button", name="Stop sharing")).to_be_disabled()
        await sign_in(page, keycloak, OWNER_BUTTON, "owner")
        await expect(page.locator("#state")).to_have_text("Signed in as owner: owner")
        assert page.url == f"{site.origin}/demo/"
        assert await kept(context, page) == '[{},{},""] []'
        await expect(page.locator("#cover-title")).to_have_text("Not for you")
        await page.get_by_role("button", name="Stop sharing").click()
        await expect(page.locator("#measured")).to_contain_text("Stopped. Nobody sees anything after")
        path = f"/registry/v1/authorisations/{shared.authorisation_id}"

        async def state() -> str:
            return str((await site.people.call(site.people.cast.owner, "GET", path))["state"])

        await eventually(state, lambda seen: seen == "withdrawn", READY_S, "the stop")
        await page.reload()
        await expect(page.locator("#state")).to_have_text("Nobody is signed in")


async def test_an_operator_signs_in_and_takes_a_ticket(
    browser: Browser, keycloak: KeycloakServer, site: Site
) -> None:
    shared = await share(site)
    async with visitor(browser) as (context, page):
        await page.goto(f"{site.origin}/demo/")
        ticket = f"{site.origin}/access-policy/v1/grants/{shared.grant_id}/tickets"
        async with page.expect_response(ticket) as taking:
            await sign_in(page, keycloak, f"Sign in as {AGENCY}", "operator")
        assert (await taking.value).status == 201
        assert await kept(context, page) == '[{},{},""] []'
        for button in ("Stop sharing", "Pause", "Begin again"):
            await expect(page.get_by_role("button", name=button)).to_be_disabled()


async def test_an_answer_nobody_asked_for_signs_nobody_in(browser: Browser, site: Site) -> None:
    async with visitor(browser) as (_, page):
        await page.goto(f"{site.origin}/demo/?state=forged&code=forged")
        await expect(page.locator("#cover-title")).to_have_text("Not signed in")
        await expect(page.locator("#cover-text")).to_have_text("the answer is not to a question of this tab")
        assert page.url == f"{site.origin}/demo/"
