"""The page for people who sign in themselves: `python -m feedgate_tools.demo.sign_in_page`.

It holds nobody's tokens, so it may stand behind a gateway, at the services' own origin.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from prometheus_client import CollectorRegistry

from feedgate_kit.clock import SystemClock
from feedgate_kit.http import ApiModel
from feedgate_kit.identity import IssuerConfig, Realm, TokenVerifier
from feedgate_kit.problems import Problem, install_problem_handlers
from feedgate_kit.server import run
from feedgate_kit.service import Service, create_internal_app
from feedgate_kit.settings import ServiceSettings, settings_of
from feedgate_tools.demo.page_routes import MEDIA_TYPES, StrictPage, page_file
from feedgate_tools.keycloak.realms import PAGE

NAME: Final = "demo"


class SignInPageSettings(ServiceSettings):
    """Variables `FEEDGATE_DEMO_PAGE_…`."""

    model_config = settings_of("demo-page")

    issuers_file: Path | None = None
    """The services' own file of OIDC issuers. People of its realms sign in, services do not."""

    client_id: str = PAGE
    """The page's name at every issuer."""


class PageIssuer(ApiModel):
    """Where somebody may sign in."""

    issuer: str
    realm: Realm
    agency: str | None
    client_id: str


def create_sign_in_app(issuers: Iterable[IssuerConfig], client_id: str = PAGE) -> FastAPI:
    """The app of everything under `/demo`; give it to `feedgate_kit.composition.compose` as `extra`."""
    offered = [
        PageIssuer(issuer=each.issuer, realm=each.realm, agency=each.agency, client_id=client_id)
        for each in issuers
        if each.realm != "services"
    ]
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_problem_handlers(app)
    app.include_router(_routes(offered))
    origins = {"{0.scheme}://{0.netloc}".format(urlsplit(each.issuer)) for each in offered}
    app.add_middleware(StrictPage, connects_to=sorted(origins))
    return app


def _routes(offered: Sequence[PageIssuer]) -> APIRouter:
    router = APIRouter(prefix="/demo")

    @router.get("/issuers")
    async def issuers() -> list[PageIssuer]:
        return list(offered)

    @router.get("/")
    @router.get("/{name}")
    async def file(name: str = "index.html") -> Response:
        if name not in MEDIA_TYPES:
            raise Problem(404, "not-found", detail="no such file of the page")
        return page_file(name)

    return router


def build(settings: SignInPageSettings) -> Service:
    """The page as a service of its own."""
    return Service(
        name=NAME,
        public=create_sign_in_app(settings.load_issuers(), settings.client_id),
        internal=create_internal_app(NAME, TokenVerifier([], SystemClock())),
        registry=CollectorRegistry(),
    )


if __name__ == "__main__":
    sys.exit(run(SignInPageSettings, build))
