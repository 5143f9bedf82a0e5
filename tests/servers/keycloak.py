"""One Keycloak with the realms of `deploy/keycloak`, and people who sign in to it without a browser."""

import base64
import hashlib
import html
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from feedgate_kit.identity import IssuerConfig, Realm
from tests.servers.machine import REPOSITORY, keycloak_distribution
from tests.servers.ports import free_port
from tests.servers.process import ServerFailedError, ServerProcess

FILES = REPOSITORY / "deploy" / "keycloak"
AGENCY = "metro-police"
OWNERS, OVERSIGHT, SERVICES = "feedgate-owners", "feedgate-oversight", "feedgate-services"
AGENCY_REALM = f"feedgate-agency-{AGENCY}"
NO_DEMO = f"{AGENCY_REALM}-no-demo"
"""The agency's realm of a deployment that is no demo: one server cannot hold both under one name."""

REALMS: Mapping[str, Realm] = {
    OWNERS: "owners", AGENCY_REALM: "agency", OVERSIGHT: "oversight", SERVICES: "services",
}  # fmt: skip
ADMIN = "admin"
JVM = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    *("--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"),
    *(
        "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
        "--add-opens=java.base/java.security=ALL-UNNAMED",
    ),
    (
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
        "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
    ),
)
"""As `kc.sh` has it, which is left out: it may start Java as a child that would outlive it."""


class KeycloakServer:
    """A server on loopback whose data live as long as the run."""

    def __init__(self, folder: Path, page_origin: str = "http://127.0.0.1:1") -> None:
        """Prepare.

        Args:
            folder: for its home and its data.
            page_origin: where the pages are that people sign in from; more with `allow_page`.
        """
        distribution = keycloak_distribution()
        if distribution is None:
            raise ServerFailedError("Keycloak is not installed")
        self.page_origin = page_origin
        self.origin = f"http://127.0.0.1:{free_port()}"
        self._management = free_port()
        self.secrets = {
            name: secrets.token_urlsafe(18)
            for name in (
                "DEMO_PASSWORD",
                "FIRST_PASSWORD",
                "AGENCY_SYSTEM_CLIENT_SECRET",
                "INGEST_CLIENT_SECRET",
                "RELAY_CLIENT_SECRET",
            )
        }
        self._admin_password = secrets.token_urlsafe(18)
        self._admin_token = "none yet"
        home = folder / "home"
        _make_home(distribution, home)
        self._import(home / "data" / "import")
        self.process = ServerProcess(
            "keycloak",
            [
                *(shutil.which("java") or "java", *JVM, f"-Dkc.home.dir={home}"),
                *("-cp", home / "lib" / "quarkus-run.jar", "io.quarkus.bootstrap.runner.QuarkusEntryPoint"),
                "start",
                "--optimized",  # as `make servers` has built it: with a database in files, without a cluster
                "--import-realm",
                "--http-enabled=true",
                "--http-host=127.0.0.1",
                f"--http-port={urlsplit(self.origin).port}",
                f"--http-management-port={self._management}",
                f"--hostname={self.origin}",
            ],
            folder / "keycloak.log",
            environment={
                **os.environ,
                **self.secrets,
                "PUBLIC_ORIGIN": page_origin,
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self._admin_password,
            },
        )

    def start(self) -> None:
        """Return when it answers for every realm."""
        self.process.start()
        self.process.wait_until(self._answers, timeout_s=180.0)

    def end(self) -> None:
        # Its data are thrown away, so a tidy shutdown buys nothing.
        self.process.kill()

    def issuer(self, realm: str) -> str:
        return f"{self.origin}/realms/{realm}"

    def token_url(self, realm: str) -> str:
        return f"{self.issuer(realm)}/protocol/openid-connect/token"

    def issuers(self) -> list[IssuerConfig]:
        """What a service needs to believe these realms."""
        return [
            IssuerConfig(issuer=self.issuer(name), realm=realm, agency=AGENCY if realm == "agency" else None)
            for name, realm in REALMS.items()
        ]

    async def client_token(self, realm: str, client: str, secret: str) -> httpx.Response:
        """What a client gets for its own credentials."""
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(
                self.token_url(realm),
                data={"grant_type": "client_credentials", "client_id": client, "client_secret": secret},
            )

    async def password_token(self, realm: str, client: str, name: str, password: str) -> httpx.Response:
        """What the password grant answers, where anybody may use it."""
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(
                self.token_url(realm),
                data={
                    "grant_type": "password",
                    "client_id": client,
                    "username": name,
                    "password": password,
                    "scope": "openid",
                },
            )

    async def administer(self, method: str, path: str, content: Any = None) -> Any:
        """One call of the admin API, as its first administrator."""
        async with httpx.AsyncClient(base_url=f"{self.origin}/admin/realms", trust_env=False) as http:
            headers = {"authorization": f"Bearer {self._admin_token}"}
            answer = await http.request(method, path, json=content, headers=headers)
            if answer.status_code == httpx.codes.UNAUTHORIZED:  # the token lives for a minute
                given = await self.password_token("master", "admin-cli", ADMIN, self._admin_password)
                self._admin_token = given.raise_for_status().json()["access_token"]
                headers = {"authorization": f"Bearer {self._admin_token}"}
                answer = await http.request(method, path, json=content, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def allow_page(self, realm: str, origin: str) -> None:
        """Let people sign in from the page of this origin as well, as `PUBLIC_ORIGIN` does at import."""
        [client] = await self.administer("GET", f"/{realm}/clients?clientId=feedgate-page")
        client["redirectUris"].append(f"{origin}/demo/")
        client["webOrigins"].append(origin)
        client["attributes"]["post.logout.redirect.uris"] = f"{origin}/demo/"
        await self.administer("PUT", f"/{realm}/clients/{client['id']}", client)

    def _import(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in sorted((FILES / "demo").glob("*.json")):
            shutil.copy(file, folder)
        realm = json.loads((FILES / "realms" / f"{AGENCY_REALM}.json").read_text(encoding="utf-8"))
        realm["realm"] = NO_DEMO
        (folder / f"{NO_DEMO}.json").write_text(json.dumps(realm), encoding="utf-8")

    def _answers(self) -> bool:
        parts = urlsplit(self.origin)
        with socket.socket() as probe:
            if probe.connect_ex((str(parts.hostname), int(parts.port or 0))) != 0:
                return False
        try:
            discovery = httpx.get(
                f"{self.issuer(SERVICES)}/.well-known/openid-configuration", timeout=5.0, trust_env=False
            )
        except httpx.TransportError:
            return False
        return discovery.is_success


def _make_home(distribution: Path, home: Path) -> None:
    """A home of this run's own, for its data; all else is the shared distribution's."""
    home.mkdir()
    for part in ("conf", "lib", "providers", "version.txt"):
        (home / part).symlink_to(distribution / part)


class SignInError(AssertionError):
    """Signing in took another way than expected; says what the page showed."""


@dataclass
class SignIn:
    """One person's way through Keycloak's forms: authorization code with PKCE, as a browser would do it."""

    server: KeycloakServer
    realm: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    cookies: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.http = httpx.AsyncClient(trust_env=False, timeout=20.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def begin(self, **different: str | None) -> httpx.Response:
        """Ask for a code; a parameter given as None is left out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=")
        asked: dict[str, str | None] = {
            "client_id": "feedgate-page",
            "response_type": "code",
            "redirect_uri": f"{self.server.page_origin}/demo/",
            "scope": "openid",
            "state": self.state,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        asked |= different
        return await self._visit(
            "GET",
            f"{self.server.issuer(self.realm)}/protocol/openid-connect/auth",
            params={name: value for name, value in asked.items() if value is not None},
        )

    async def fill(self, **fields: str) -> httpx.Response:
        """Send the form that is shown.

        Raises:
            SignInError: no form is shown, or it lacks one of the fields.
        """
        form = re.search(r'<form[^>]* action="([^"]+)"', self.page.text)
        if form is None:
            raise SignInError(f"no form: {self.page.status_code} {self.page.text[:2000]}")
        for name in fields:
            if f'name="{name}"' not in self.page.text:
                raise SignInError(f"no field `{name}` in {re.findall('name=.([A-Za-z-]+)', self.page.text)}")
        hidden = dict(
            re.findall(r'<input type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', self.page.text)
        )
        return await self._visit("POST", html.unescape(form[1]), data={**hidden, **fields})

    async def _visit(self, method: str, url: str, **content: Any) -> httpx.Response:
        """One request and, up to the page's own address, wherever it leads.

        Its cookies are marked `Secure`, and browsers send such cookies to loopback over plain http
        too; httpx does not, so they are kept here.
        """
        while True:
            cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            self.page = await self.http.request(method, url, headers={"cookie": cookie}, **content)
            self.http.cookies.clear()
            for line in self.page.headers.get_list("set-cookie"):
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            url = self.page.headers.get("location", "")
            if not url.startswith(f"{self.server.origin}/"):
                return self.page
            method, content = "GET", {}

    def code(self) -> str:
        """The code that the last answer sends back to the page.

        Raises:
            SignInError: it sends nobody anywhere.
        """
        location = self.page.headers.get("location", "")
        query = parse_qs(urlsplit(location).query)
        if not location.startswith(f"{self.server.page_origin}/demo/") or query.get("state") != [self.state]:
            raise SignInError(f"{self.page.status_code} to `{location}`: {self.page.text[:2000]}")
        return str(query["code"][0])

    async def exchange(self, code: str, verifier: str | None = None) -> httpx.Response:
        """Ask for tokens for a code."""
        return await self.http.post(
            self.server.token_url(self.realm),
            data={
                "grant_type": "authorization_code",
                "client_id": "feedgate-page",
                "code": code,
                "redirect_uri": f"{self.server.page_origin}/demo/",
                "code_verifier": self.verifier if verifier is None else verifier,
            },
        )

    async def token(self) -> str:
        """The access token at the end of the way."""
        answer = await self.exchange(self.code())
        if not answer.is_success:
            raise SignInError(answer.text)
        return str(answer.json()["access_token"])
