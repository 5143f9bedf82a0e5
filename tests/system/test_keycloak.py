"""Real Keycloak, the realms of `deploy/keycloak`, and the services that believe them."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import MICROSECONDS, SystemClock
from feedgate_kit.identity import TokenError, TokenVerifier
from feedgate_kit.ids import new_id
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import ClientCredentials, TokenSource
from feedgate_tools.demo.story import Cast, People
from tests.servers.keycloak import (
    AGENCY,
    AGENCY_REALM,
    NO_DEMO,
    OVERSIGHT,
    OWNERS,
    SERVICES,
    KeycloakServer,
    SignIn,
)

pytestmark = pytest.mark.timeout(240)  # whoever asks first waits for Keycloak to start

CAMERA = "rtsp://127.0.0.1:554/never-called"
POOL = "local"


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def one_time_code(secret: str, at_s: float) -> str:
    """TOTP (RFC 6238) as the realm has it: SHA-1, 30 s, six digits."""
    digest = hmac.digest(secret.encode(), int(at_s // 30).to_bytes(8, "big"), hashlib.sha1)
    place = digest[-1] & 0x0F
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


async def enrol(way: SignIn) -> None:
    """Fill the form that asks for a new second factor."""
    secret = re.search(r'name="totpSecret" value="([^"]+)"', way.page.text)
    assert secret is not None, way.page.text[:2000]
    await way.fill(totp=one_time_code(secret[1], time.time()), userLabel="a phone")


async def person(server: KeycloakServer, realm: str, name: str, password: str | None = None) -> str:
    """An access token of somebody who signed in with their password on the page."""
    async with SignIn(server, realm) as way:
        await way.begin()
        await way.fill(username=name, password=password or server.secrets["DEMO_PASSWORD"])
        return await way.token()


async def new_person(server: KeycloakServer, realm: str, *roles: str) -> tuple[str, str]:
    """Name and password of somebody the realm's administrator has just made."""
    name, password = f"person-{new_id()}", new_id()
    await server.administer(
        "POST",
        f"/{realm}/users",
        {
            "username": name,
            "email": f"{name}@example.org",
            "firstName": "New",
            "lastName": "Person",
            "enabled": True,
            "credentials": [{"type": "password", "value": password, "temporary": False}],
        },
    )
    [user] = await server.administer("GET", f"/{realm}/users?exact=true&username={name}")
    known = {role["name"] for role in await server.administer("GET", f"/{realm}/roles")}
    for role in set(roles) - known:
        await server.administer("POST", f"/{realm}/roles", {"name": role})
    given = [await server.administer("GET", f"/{realm}/roles/{role}") for role in roles]
    await server.administer("POST", f"/{realm}/users/{user['id']}/role-mappings/realm", given)
    return name, password


def source_of(token: str) -> TokenSource:
    async def give() -> str:
        return token

    return give


@asynccontextmanager
async def box_believing(server: KeycloakServer, folder: Path, *acr: str) -> AsyncIterator[httpx.AsyncClient]:
    """All services, running, with these realms for issuers; the agency accepts these ways of signing in."""
    agency = Agency(
        id=AGENCY, name="Metro Police", jurisdiction="AR", issuer=server.issuer(AGENCY_REALM), acr=acr
    )
    settings = UpSettings(pool=POOL, allowed_networks=("127.0.0.1/32",))
    with open_data_folder(folder / "data") as data:
        async with (
            one_box(
                data, settings, issuers=server.issuers(), agencies={AGENCY: agency}, clock=SystemClock()
            ) as box,
            box.lifespan(),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(box.public_app, raise_app_exceptions=False),
                base_url="http://feedgate",
            ) as http,
        ):
            yield http


async def code_of(http: httpx.AsyncClient, token: str, method: str, path: str, body: Any = None) -> str:
    """`ok`, or the problem that was answered."""
    answer = await http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
    return "ok" if answer.is_success else str(answer.json()["type"]).rsplit(":", 1)[-1]


@pytest.mark.parametrize(
    ("realm", "name", "roles"),
    [
        (OWNERS, "owner", {"owner"}),
        (AGENCY_REALM, "operator", {"operator"}),
        (AGENCY_REALM, "supervisor", {"supervisor"}),
        (OVERSIGHT, "auditor", {"auditor"}),
    ],
)
async def test_people_sign_in_with_code_and_pkce_and_are_who_their_realm_says(
    keycloak: KeycloakServer, realm: str, name: str, roles: set[str]
) -> None:
    token = await person(keycloak, realm, name)
    async with TokenVerifier(keycloak.issuers(), SystemClock()) as verifier:
        principal = await verifier.verify(token)
    assert principal.issuer == keycloak.issuer(realm)
    assert principal.roles == roles
    assert (principal.agency, principal.acr) == (AGENCY if realm == AGENCY_REALM else None, "password")
    claims = claims_of(token)
    assert claims["exp"] - claims["iat"] <= 300


@pytest.mark.parametrize(
    ("realm", "client", "secret", "role"),
    [
        (SERVICES, "ingest", "INGEST_CLIENT_SECRET", "ingest"),
        (SERVICES, "relay", "RELAY_CLIENT_SECRET", "relay"),
        (AGENCY_REALM, "agency-system", "AGENCY_SYSTEM_CLIENT_SECRET", "system"),
    ],
)
async def test_services_and_system_accounts_have_one_role_each(
    keycloak: KeycloakServer, realm: str, client: str, secret: str, role: str
) -> None:
    token = ClientCredentials(keycloak.token_url(realm), client, keycloak.secrets[secret], SystemClock())
    async with TokenVerifier(keycloak.issuers(), SystemClock()) as verifier:
        assert (await verifier.verify(await token())).roles == {role}
    refused = await keycloak.client_token(realm, client, "another secret")
    assert (refused.status_code, refused.json()["error"]) == (401, "unauthorized_client")


async def test_nobody_of_one_realm_acts_in_another(keycloak: KeycloakServer, tmp_path: Path) -> None:
    tempting = ["owner", "operator", "supervisor", "relay"]
    owner = await person(keycloak, OWNERS, "owner")
    # Whatever roles a realm's administrator makes up, a realm can give only its own.
    officer = await person(keycloak, AGENCY_REALM, *await new_person(keycloak, AGENCY_REALM, *tempting))
    citizen = await person(keycloak, OWNERS, *await new_person(keycloak, OWNERS, *tempting))
    auditor = await person(keycloak, OVERSIGHT, *await new_person(keycloak, OVERSIGHT, *tempting))
    assert set(tempting) <= set(claims_of(officer)["realm_access"]["roles"])
    cameras, grants = "/registry/v1/cameras", "/access-policy/v1/grants"
    async with box_believing(keycloak, tmp_path) as http:
        seen = {
            (who, path): await code_of(http, token, "GET", path)
            for who, token in (
                ("owner", owner),
                ("officer", officer),
                ("citizen", citizen),
                ("auditor", auditor),
            )
            for path in (cameras, grants)
        }
    assert seen == {
        ("owner", cameras): "ok",
        ("owner", grants): "role-missing",
        ("officer", cameras): "role-missing",
        ("officer", grants): "ok",
        ("citizen", cameras): "ok",
        ("citizen", grants): "role-missing",
        ("auditor", cameras): "role-missing",
        ("auditor", grants): "role-missing",
    }


async def test_a_token_for_another_application_or_from_yesterday_is_none(keycloak: KeycloakServer) -> None:
    application = f"application-{new_id()}"
    await keycloak.administer(
        "POST",
        f"/{OWNERS}/clients",
        {
            "clientId": application,
            "publicClient": True,
            "directAccessGrantsEnabled": True,
            "protocolMappers": [
                {
                    "name": "audience",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.custom.audience": application, "access.token.claim": "true"},
                }
            ],
        },
    )
    answer = await keycloak.password_token(OWNERS, application, "owner", keycloak.secrets["DEMO_PASSWORD"])
    foreign = str(answer.json()["access_token"])
    ours = await person(keycloak, OWNERS, "owner")
    assert claims_of(foreign)["aud"] == application
    async with TokenVerifier(keycloak.issuers(), SystemClock()) as verifier:
        with pytest.raises(TokenError) as refused:
            await verifier.verify(foreign)
        assert refused.value.code == "audience-wrong"
        assert (await verifier.verify(ours)).roles == {"owner"}
    async with TokenVerifier(keycloak.issuers(), ahead(minutes=6)) as verifier:
        with pytest.raises(TokenError) as refused:
            await verifier.verify(ours)
    assert refused.value.code == "token-expired"


def ahead(minutes: int) -> SteppedClock:
    """A clock that stands where the host's will be."""
    return SteppedClock(SystemClock().now_us() + minutes * 60 * MICROSECONDS)


async def test_a_code_is_for_the_page_that_asked_and_opens_once(keycloak: KeycloakServer) -> None:
    password = keycloak.secrets["DEMO_PASSWORD"]
    async with SignIn(keycloak, OWNERS) as way:
        for without in (
            {"code_challenge": None, "code_challenge_method": None},
            {"code_challenge_method": "plain"},
        ):
            await way.begin(**without)
            assert "error=invalid_request" in way.page.headers["location"]
        for elsewhere in ("https://evil.example/demo/", f"{keycloak.page_origin}/demo/more"):
            page = await way.begin(redirect_uri=elsewhere)
            assert (page.status_code, page.headers.get("location")) == (400, None)
        await way.begin()
        await way.fill(username="owner", password=password)
        code = way.code()
        stolen = await way.exchange(code, verifier="x" * 64)
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    async with SignIn(keycloak, OWNERS) as way:
        await way.begin()
        await way.fill(username="owner", password=password)
        code = way.code()
        assert (await way.exchange(code)).is_success
        assert (await way.exchange(code)).json()["error"] == "invalid_grant"


async def test_a_second_factor_is_asked_for_and_reaches_the_policy(
    keycloak: KeycloakServer, tmp_path: Path
) -> None:
    weak_operator = await person(
        keycloak, AGENCY_REALM, *await new_person(keycloak, AGENCY_REALM, "operator")
    )
    weak_supervisor = await person(keycloak, AGENCY_REALM, "supervisor")
    name, password = await new_person(keycloak, AGENCY_REALM, "supervisor")
    async with SignIn(keycloak, AGENCY_REALM) as way:
        await way.begin(acr_values="mfa")
        await way.fill(username=name, password=password)
        await enrol(way)
        strong_supervisor = await way.token()
    assert (claims_of(weak_supervisor)["acr"], claims_of(strong_supervisor)["acr"]) == ("password", "mfa")
    cast = Cast(
        owner=source_of(await person(keycloak, OWNERS, "owner")),
        operator=source_of(weak_operator),
        supervisor=source_of(strong_supervisor),
        developer=source_of(weak_operator),
    )
    async with box_believing(keycloak, tmp_path, "mfa") as http:
        people = People(http, cast, agency=AGENCY, pool=POOL)
        camera_id = await people.register_camera(CAMERA)
        await people.authorise(camera_id)
        incident_id = await people.report_incident()
        await people.until_found(incident_id, camera_id)
        request_id = await people.ask(incident_id, camera_id)
        refused = await http.post(
            f"/access-policy/v1/requests/{request_id}/approve",
            json={"reasons": "The need is shown."},
            headers={"Authorization": f"Bearer {weak_supervisor}"},
        )
        assert (refused.status_code, refused.json()["reasons"]) == (403, ["login_too_weak"])
        assert refused.json()["login"] == {"seen": "password", "needed": ["mfa"]}
        grant_id = await people.approve(request_id)
        ticket = await http.post(
            f"/access-policy/v1/grants/{grant_id}/tickets",
            headers={"Authorization": f"Bearer {weak_operator}"},
        )
        assert ticket.json()["login"] == {"seen": "password", "needed": ["mfa"]}


async def test_outside_the_demo_a_first_password_is_changed_and_a_second_factor_set_up(
    keycloak: KeycloakServer,
) -> None:
    first, own = keycloak.secrets["FIRST_PASSWORD"], new_id()
    async with SignIn(keycloak, NO_DEMO) as way:
        await way.begin()
        await way.fill(username="operator", password=first)
        await enrol(way)
        await way.fill(**{"password-new": own, "password-confirm": own})
        assert claims_of(await way.token())["acr"] == "mfa"
    async with SignIn(keycloak, NO_DEMO) as way:
        await way.begin()
        await way.fill(username="operator", password=first)
        await way.fill(username="operator", password=own)  # the form again: the first one is over
        assert 'name="otp"' in way.page.text


async def test_outside_the_demo_no_program_signs_people_in(keycloak: KeycloakServer) -> None:
    clients = await keycloak.administer("GET", f"/{NO_DEMO}/clients")
    assert {"feedgate-page", "agency-system", "admin-cli"} <= {client["clientId"] for client in clients}
    assert [client["clientId"] for client in clients if client.get("directAccessGrantsEnabled")] == []
    name, password = await new_person(keycloak, NO_DEMO)
    [page] = [client for client in clients if client["clientId"] == "feedgate-page"]
    # Not even where somebody lets a client: the realm's flow for it denies.
    page["directAccessGrantsEnabled"] = True
    await keycloak.administer("PUT", f"/{NO_DEMO}/clients/{page['id']}", page)
    try:
        refused = await keycloak.password_token(NO_DEMO, "feedgate-page", name, password)
    finally:
        page["directAccessGrantsEnabled"] = False
        await keycloak.administer("PUT", f"/{NO_DEMO}/clients/{page['id']}", page)
    assert "access_token" not in refused.text
    allowed = await keycloak.password_token(
        AGENCY_REALM, "feedgate-demo", "operator", keycloak.secrets["DEMO_PASSWORD"]
    )
    assert allowed.is_success


async def test_guessing_passwords_is_slowed_down(keycloak: KeycloakServer) -> None:
    name, password = await new_person(keycloak, OWNERS)
    async with SignIn(keycloak, OWNERS) as way:
        await way.begin()
        for _ in range(5):
            await way.fill(username=name, password="a guess")
            assert 'name="password"' in way.page.text
        await way.fill(username=name, password=password)
        assert 'name="password"' in way.page.text
    [user] = await keycloak.administer("GET", f"/{OWNERS}/users?exact=true&username={name}")
    state = await keycloak.administer("GET", f"/{OWNERS}/attack-detection/brute-force/users/{user['id']}")
    assert state["disabled"] is True
