"""One box, as far as it differs from its services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from feedgate.composition import one_box
from feedgate.data_folder import open_data_folder
from feedgate.settings import UpSettings
from feedgate_kit.clock import SystemClock
from feedgate_kit.identity import IssuerConfig, TokenVerifier
from feedgate_kit.listening import Listen
from feedgate_kit.server import running
from feedgate_kit.service import Service, create_internal_app, create_public_app
from feedgate_kit.tokens import LocalIssuer
from feedgate_kit.trust import ServerCertificate
from tests.servers.certificates import CertificateAuthority

ANY = Listen("127.0.0.1", 0)


@asynccontextmanager
async def keys_over_https(keys: dict[str, Any], certificate: Path) -> AsyncIterator[str]:
    """Where an issuer's keys can be fetched."""
    verifier = TokenVerifier([], SystemClock())
    public, internal = create_public_app("issuer", verifier), create_internal_app("issuer", verifier)

    @internal.get("/keys")
    async def show() -> dict[str, Any]:
        return keys

    service = Service(name="issuer", public=public, internal=internal, registry=CollectorRegistry())
    proof = ServerCertificate(certificate, certificate)
    async with running(service, ANY, ANY, shutdown_s=1, internal_tls=proof) as addresses:
        yield f"https://127.0.0.1:{addresses.internal.port}/keys"


@pytest.mark.sockets
@pytest.mark.parametrize(("is_given", "status"), [(True, 200), (False, 503)])
async def test_an_issuer_of_the_deployment_s_own_authority_is_believed_by_its_ca_file(
    is_given: bool, status: int, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    clock = SystemClock()
    owners = LocalIssuer.generate("https://owners.example", clock, realm="owners")
    async with keys_over_https(owners.jwks, authority.issue("issuer")) as url:
        issuer = IssuerConfig(issuer=owners.issuer, realm="owners", jwks_uri=url)
        settings = UpSettings(
            public_origin="http://127.0.0.1", ca_file=authority.ca_file if is_given else None
        )
        with open_data_folder(tmp_path / "data") as data:
            async with (
                one_box(data, settings, issuers=[issuer], agencies={}, clock=clock) as box,
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(box.public_app), base_url="http://box"
                ) as http,
            ):
                token = owners.mint("ana", ["owner"])
                answer = await http.get("/registry/v1/cameras", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == status
