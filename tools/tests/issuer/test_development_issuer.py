"""The development issuer as services and people meet it, over real sockets on loopback."""

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import pytest
import yaml

from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import IssuersError, TokenError, TokenVerifier, load_issuers
from feedgate_kit.listening import Listen, ListenError, open_listener
from feedgate_kit.tokens import TokenUnavailableError
from feedgate_tools.issuer import DevelopmentIssuer, NotLoopbackError
from feedgate_tools.issuer.persons import demo_accounts

pytestmark = pytest.mark.sockets

CLOCK = SystemClock()


@pytest.fixture
async def issuer() -> AsyncIterator[DevelopmentIssuer]:
    async with DevelopmentIssuer(CLOCK, agency="metro", other_agency="harbour") as issuer:
        yield issuer


@pytest.fixture
async def verifier(issuer: DevelopmentIssuer) -> AsyncIterator[TokenVerifier]:
    async with TokenVerifier(issuer.issuers_config(), CLOCK) as verifier:
        yield verifier


@pytest.fixture
async def client(issuer: DevelopmentIssuer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=issuer.origin, trust_env=False) as client:
        yield client


async def test_everybody_gets_a_token_that_says_who_they_are(
    issuer: DevelopmentIssuer, verifier: TokenVerifier
) -> None:
    seen = {}
    for name, person in issuer.persons().items():
        principal = await verifier.verify(await person.token_source()())
        assert principal.subject == name
        seen[name] = (principal.realm, principal.agency, set(principal.roles), principal.acr)
    assert seen == {
        "owner": ("owners", None, {"owner"}, "phrh"),
        "second-owner": ("owners", None, {"owner"}, "phrh"),
        "operator": ("agency", "metro", {"operator"}, "phrh"),
        "second-operator": ("agency", "metro", {"operator"}, "phrh"),
        "supervisor": ("agency", "metro", {"supervisor"}, "phrh"),
        "agency-system": ("agency", "metro", {"system"}, None),
        "other-operator": ("agency", "harbour", {"operator"}, "phrh"),
        "other-supervisor": ("agency", "harbour", {"supervisor"}, "phrh"),
        "other-agency-system": ("agency", "harbour", {"system"}, None),
        **{
            service: ("services", None, {service}, None)
            for service in ("registry", "access-policy", "ingest", "relay", "audit")
        },
    }


async def test_each_realm_is_an_issuer_that_can_be_discovered(
    issuer: DevelopmentIssuer, client: httpx.AsyncClient
) -> None:
    for config in issuer.issuers_config():
        answer = await client.get(f"{config.issuer}/.well-known/openid-configuration")
        document = answer.json()
        assert document["issuer"] == config.issuer
        keys = (await client.get(document["jwks_uri"])).json()["keys"]
        assert [key["kty"] for key in keys] == ["OKP"]
        assert "d" not in keys[0]
    assert (await client.get("/realms/police/jwks")).status_code == 404


async def test_nobody_of_one_realm_gets_a_token_of_another(
    issuer: DevelopmentIssuer, client: httpx.AsyncClient
) -> None:
    operator = issuer.person("operator")
    assert (await client.post(operator.token_url, data=operator.grant)).status_code == 200
    for path in ("owners", "agency-harbour", "services"):
        answer = await client.post(f"/realms/{path}/token", data=operator.grant)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_new_start_has_new_keys_and_secrets(
    verifier: TokenVerifier, issuer: DevelopmentIssuer
) -> None:
    async with DevelopmentIssuer(CLOCK, agency="metro") as other:
        for name, person in other.persons().items():
            assert name not in issuer.persons() or person.grant != issuer.person(name).grant
        claims = jwt.decode(await other.person("owner").token_source()(), options={"verify_signature": False})
        assert claims["iss"] != issuer.person("owner").issuer
        with pytest.raises(TokenError):
            await verifier.verify(await other.person("owner").token_source()())


async def test_tokens_live_as_long_as_told() -> None:
    async with DevelopmentIssuer(CLOCK, lifetime_s=7, audience="another") as issuer:
        token = await issuer.person("owner").token_source()()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["aud"]) == (7, "another")


def basic(name: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def test_a_client_may_show_its_secret_in_the_header(
    issuer: DevelopmentIssuer, client: httpx.AsyncClient
) -> None:
    ingest = issuer.person("ingest")
    grant = {"grant_type": "client_credentials"}
    answer = await client.post(ingest.token_url, data=grant, headers=basic("ingest", ingest.account.secret))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    for headers in (
        basic("ingest", "wrong"),
        basic("relay", ingest.account.secret),
        {"authorization": "Basic !!!"},
        {"authorization": "Basic aW5nZXN0"},
        {"authorization": "Bearer x"},
    ):
        refused = await client.post(ingest.token_url, data=grant, headers=headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert refused.headers["www-authenticate"].startswith("Basic")


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        ("", FORM, "invalid_request"),
        ("grant_type=password&username=operator", FORM, "invalid_request"),
        ("grant_type=password&username=operator&password=", FORM, "invalid_request"),
        ("grant_type=password&username=operator&password=wrong", FORM, "invalid_grant"),
        ("grant_type=password&username=nobody&password=wrong", FORM, "invalid_grant"),
        ("grant_type=password&username=%C3%A9&password=%00", FORM, "invalid_grant"),
        ("grant_type=password&grant_type=password&username=a&password=b", FORM, "invalid_request"),
        ("grant_type=authorization_code&code=x", FORM, "unsupported_grant_type"),
        ("grant_type=client_credentials&client_id=agency-system", FORM, "invalid_request"),
        ("grant_type=client_credentials&client_id=operator&client_secret=x", FORM, "invalid_client"),
        ("grant_type=%FF", FORM, "unsupported_grant_type"),
        ("\u00ff", FORM, "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(50)), FORM, "invalid_request"),
        ('{"grant_type": "password"}', "application/json", "invalid_request"),
        ("grant_type=password", "multipart/form-data", "invalid_request"),
        ("grant_type=password", "", "invalid_request"),
    ],
)
async def test_a_wrong_request_is_refused_as_oauth_has_it(
    client: httpx.AsyncClient, body: str, content_type: str, error: str
) -> None:
    answer = await client.post(
        "/realms/agency-metro/token", content=body.encode("latin-1"), headers={"content-type": content_type}
    )
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == error


async def test_a_person_cannot_use_a_clients_grant_nor_a_client_a_persons(
    issuer: DevelopmentIssuer, client: httpx.AsyncClient
) -> None:
    operator, system = issuer.person("operator").account, issuer.person("agency-system").account
    url = issuer.person("operator").token_url
    as_client = {
        "grant_type": "client_credentials", "client_id": operator.name, "client_secret": operator.secret,
    }  # fmt: skip
    as_person = {"grant_type": "password", "username": system.name, "password": system.secret}
    assert (await client.post(url, data=as_client)).status_code == 401
    assert (await client.post(url, data=as_person)).status_code == 400


async def test_a_long_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/realms/owners/token", data={"username": "x" * 10_000})
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(NotLoopbackError, match="loopback only"):
        DevelopmentIssuer(CLOCK, host=host)


async def test_a_name_that_leads_off_loopback_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = open_listener(Listen("0.0.0.0", 0))
    monkeypatch.setattr("feedgate_tools.issuer.server.open_listener", lambda _: wide)
    with pytest.raises(NotLoopbackError, match=r"0\.0\.0\.0"):
        async with DevelopmentIssuer(CLOCK, host="localhost"):
            raise AssertionError
    assert wide.fileno() == -1


async def test_a_taken_port_is_one_line() -> None:
    with open_listener(Listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"--port: port {port} "):
            async with DevelopmentIssuer(CLOCK, port=port):
                raise AssertionError


async def test_after_its_end_there_are_no_tokens(issuer: DevelopmentIssuer) -> None:
    async with DevelopmentIssuer(CLOCK) as ended:
        source = ended.person("owner").token_source()
    with pytest.raises(TokenUnavailableError):
        await source()
    assert await issuer.person("owner").token_source()()


def test_one_agency_cannot_be_both() -> None:
    with pytest.raises(ValueError, match="metro"):
        DevelopmentIssuer(CLOCK, agency="metro", other_agency="metro")


def test_no_account_shows_its_secret() -> None:
    for account in demo_accounts("metro", "harbour"):
        assert account.secret not in repr(account)
        assert len(account.secret) >= 32


async def test_the_command_prints_what_is_needed_to_use_it_and_ends_at_a_signal(tmp_path: Path) -> None:
    issuers_file = tmp_path / "issuers.yaml"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "feedgate_tools.issuer",
        "--issuers-file",
        str(issuers_file),
        "--agency",
        "metro",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            lines = [
                json.loads(await process.stdout.readline()) for _ in demo_accounts("metro", "harbour-police")
            ]
            async with (
                httpx.AsyncClient(trust_env=False) as client,
                TokenVerifier(load_issuers(issuers_file), CLOCK) as verifier,
            ):
                for line in lines:
                    answer = await client.post(line["token_url"], data=line["form"])
                    principal = await verifier.verify(answer.json()["access_token"])
                    assert principal.subject == line["person"]
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_its_config_written_and_read_is_the_same(issuer: DevelopmentIssuer, tmp_path: Path) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text(
        yaml.safe_dump(
            [config.model_dump(mode="json", exclude_none=True) for config in issuer.issuers_config()]
        )
    )
    assert list(load_issuers(path)) == issuer.issuers_config()
    path.write_text(path.read_text() * 2)
    with pytest.raises(IssuersError, match="named twice"):
        load_issuers(path)
