"""The demo's page is for this machine's browser alone, and its link opens it once."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.tokens import LocalIssuer
from feedgate_tools.demo.page_routes import OneUseCode, PageSession, StoryError, create_page_app

HOST = "127.0.0.1:8080"
ORIGIN = f"http://{HOST}"
LIFETIME_S = 300


class Story:
    """Tells nothing, and counts."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.owners = LocalIssuer.generate(
            "urn:test:owners", self.clock, realm="owners", lifetime_s=LIFETIME_S
        )
        self.operators = LocalIssuer.generate(
            "urn:test:agency", self.clock, realm="agency", agency="demo-police", lifetime_s=LIFETIME_S
        )
        self.begun = 0
        self.refusal: str | None = None

    async def session(self) -> PageSession:
        return PageSession(
            owner_token=self.owners.mint("owner", ["owner"]),
            operator_token=self.operators.mint("operator", ["operator"]),
            camera_id="camera",
            authorisation_id=f"authorisation-{self.begun}",
            grant_id=f"grant-{self.begun}",
            why="Because.",
        )

    async def begin_again(self) -> PageSession:
        if self.refusal is not None:
            raise StoryError(self.refusal)
        self.begun += 1
        return await self.session()


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def code() -> OneUseCode:
    return OneUseCode()


@pytest.fixture
async def page(story: Story, code: OneUseCode) -> AsyncIterator[httpx.AsyncClient]:
    issuers = [story.owners.config(), story.operators.config()]
    async with TokenVerifier(issuers, story.clock) as verifier:
        app = create_page_app(story, code, verifier, story.clock)
        async with browser(app) as client:
            yield client


def browser(app: Any, peer: str = "127.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 50_000)), base_url=ORIGIN
    )


async def exchange(page: httpx.AsyncClient, code: str, **headers: str) -> httpx.Response:
    return await page.post("/demo/exchange", json={"code": code}, headers=headers)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rsplit(":", 1)[-1]


async def test_the_code_is_exchanged_once(page: httpx.AsyncClient, code: OneUseCode) -> None:
    text = code.text
    assert len(text) >= 40
    answer = await exchange(page, text, Origin=ORIGIN)
    assert answer.status_code == 200
    session = answer.json()
    assert session["grant_id"] == "grant-0"
    assert LIFETIME_S - 5 <= session["expires_in_s"] <= LIFETIME_S
    again = await exchange(page, text)
    assert (again.status_code, code_of(again)) == (403, "code-used")
    assert code.text == ""


async def test_another_code_takes_the_place_of_the_one_before(
    page: httpx.AsyncClient, code: OneUseCode
) -> None:
    first = code.text
    second = code.renew()
    assert second == code.text != first
    replaced = await exchange(page, first)
    assert (replaced.status_code, code_of(replaced)) == (403, "code-replaced")
    assert (await exchange(page, second)).status_code == 200
    third = code.renew()
    used = await exchange(page, second)
    assert (used.status_code, code_of(used)) == (403, "code-used")
    assert (await exchange(page, third)).status_code == 200


@pytest.mark.parametrize("wrong", ["", "wrong", "é", "x" * 200])
async def test_a_wrong_code_costs_nothing(page: httpx.AsyncClient, code: OneUseCode, wrong: str) -> None:
    assert (await exchange(page, wrong)).status_code == 403
    assert (await exchange(page, code.text)).status_code == 200


@pytest.mark.parametrize("body", [{}, {"code": 7}, {"code": "a", "more": 1}, {"code": "x" * 201}])
async def test_what_is_no_exchange_is_refused(page: httpx.AsyncClient, code: OneUseCode, body: Any) -> None:
    assert (await page.post("/demo/exchange", json=body)).status_code == 422
    assert code.text


async def test_a_long_body_is_refused(page: httpx.AsyncClient) -> None:
    assert (await exchange(page, "x" * 5000)).status_code == 413


@pytest.mark.parametrize("peer", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"])
async def test_another_machine_is_refused(story: Story, code: OneUseCode, peer: str) -> None:
    async with TokenVerifier([story.owners.config()], story.clock) as verifier:
        app = create_page_app(story, code, verifier, story.clock)
        async with browser(app, peer) as page:
            answer = await exchange(page, code.text)
            assert (answer.status_code, code_of(answer)) == (403, "page-is-local")
            assert (await page.get("/demo/")).status_code == 403
    assert code.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:8080"},
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1.rebound.example:8080"},
        {"Host": "user@127.0.0.1:8080"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "https://rebound.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_is_refused(
    page: httpx.AsyncClient, code: OneUseCode, headers: dict[str, str]
) -> None:
    answer = await exchange(page, code.text, **headers)
    assert (answer.status_code, code_of(answer)) == (403, "page-is-local")
    assert code.text


@pytest.mark.parametrize("host", ["localhost:8080", "[::1]:8080"])
async def test_every_name_of_loopback_is_this_machine(
    page: httpx.AsyncClient, code: OneUseCode, host: str
) -> None:
    answer = await exchange(page, code.text, Host=host, Origin=f"http://{host}")
    assert answer.status_code == 200


async def test_a_link_from_elsewhere_may_open_the_page(page: httpx.AsyncClient) -> None:
    answer = await page.get("/demo/", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/demo/", "/demo/demo.css", "/demo/demo.js", "/demo/nothing", "/demo"])
async def test_every_answer_is_strict(page: httpx.AsyncClient, path: str) -> None:
    answer = await page.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/demo/page_routes.py", "/demo/..%2fstory.py", "/demo/%2e%2e/story.py", "/demo/page/demo.js"]
)
async def test_no_other_file_is_served(page: httpx.AsyncClient, path: str) -> None:
    assert (await page.get(path)).status_code == 404


async def test_the_page_has_nothing_inline(page: httpx.AsyncClient) -> None:
    text = (await page.get("/demo/")).text
    assert "style=" not in text
    assert "onclick" not in text
    assert text.count("<script") == text.count('<script type="module" src=') == 1


async def test_the_owner_begins_again_and_renews(
    page: httpx.AsyncClient, story: Story, code: OneUseCode
) -> None:
    session = (await exchange(page, code.text)).json()
    owner = {"Authorization": f"Bearer {session['owner_token']}"}
    again = await page.post("/demo/again", headers=owner)
    assert again.json()["authorisation_id"] == "authorisation-1"
    renewed = await page.post("/demo/renew", headers=owner)
    assert renewed.json()["authorisation_id"] == "authorisation-1"
    assert renewed.json()["owner_token"] != session["owner_token"]
    assert story.begun == 1


@pytest.mark.parametrize("path", ["/demo/again", "/demo/renew"])
async def test_nobody_else_does(page: httpx.AsyncClient, story: Story, code: OneUseCode, path: str) -> None:
    session = (await exchange(page, code.text)).json()
    operator = {"Authorization": f"Bearer {session['operator_token']}"}
    assert (await page.post(path, headers=operator)).status_code == 403
    assert (await page.post(path)).status_code == 401
    assert (await page.post(path, headers={"Authorization": "Bearer forged"})).status_code == 401
    assert story.begun == 0


async def test_a_step_that_was_refused_is_said(
    page: httpx.AsyncClient, story: Story, code: OneUseCode
) -> None:
    session = (await exchange(page, code.text)).json()
    story.refusal = "the supervisor refused"
    answer = await page.post("/demo/again", headers={"Authorization": f"Bearer {session['owner_token']}"})
    assert (answer.status_code, code_of(answer)) == (502, "story-failed")
    assert "the supervisor refused" in answer.text
