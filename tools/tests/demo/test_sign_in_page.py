"""What the page for signing in is told, and what it tells."""

from pathlib import Path

import httpx

from feedgate.settings_reference import PAGE, section
from feedgate_kit.identity import IssuerConfig
from feedgate_tools.demo.sign_in_page import SignInPageSettings, build, create_sign_in_app

ORIGIN = "https://feedgate.example.org"
REALMS = f"{ORIGIN}/identity/realms"
ISSUERS = [
    IssuerConfig(issuer=f"{REALMS}/owners", realm="owners", audience="feedgate"),
    IssuerConfig(issuer=f"{REALMS}/metro", realm="agency", agency="metro-police", audience="feedgate"),
    IssuerConfig(issuer=f"{REALMS}/services", realm="services", audience="feedgate"),
]


def test_its_settings_are_on_the_page_of_settings() -> None:
    assert section("The page for signing in", SignInPageSettings) == PAGE


async def test_people_are_offered_the_issuers_that_speak_for_people() -> None:
    app = create_sign_in_app(ISSUERS, "another-client")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http:
        offered = (await http.get("/demo/issuers")).json()
    assert [(each["realm"], each["agency"], each["client_id"]) for each in offered] == [
        ("owners", None, "another-client"),
        ("agency", "metro-police", "another-client"),
    ]


async def test_alone_it_answers_a_health_check(tmp_path: Path) -> None:
    file = tmp_path / "issuers.yaml"
    file.write_text(f"- {{issuer: {REALMS}/owners, realm: owners, audience: feedgate}}", encoding="utf-8")
    page = build(SignInPageSettings(issuers_file=file))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(page.public_app), base_url=ORIGIN) as http:
        assert (await http.get("/readyz")).json() == {"ready": True}
        assert (await http.get("/demo/")).headers["content-security-policy"].startswith("default-src 'none'")
