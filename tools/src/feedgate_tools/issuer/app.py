"""The issuers' HTTP face: discovery, keys and tokens of every realm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from feedgate_kit.body_limit import BodyLimit
from feedgate_kit.problems import Problem, install_problem_handlers
from feedgate_kit.tokens import LocalIssuer
from feedgate_tools.issuer.grants import OAuthError, find_account, read_request
from feedgate_tools.issuer.persons import Account

UNCACHED = {"Cache-Control": "no-store"}  # RFC 6749 §5.1


@dataclass(frozen=True, slots=True)
class IssuingRealm:
    """One issuer and whom it vouches for."""

    issuer: LocalIssuer
    accounts: Sequence[Account]


def create_app(realms: Mapping[str, IssuingRealm]) -> FastAPI:
    """The app of all realms, each under `/realms/<path>`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(BodyLimit, max_body_bytes=8192)
    install_problem_handlers(app)
    router = APIRouter(prefix="/realms/{path}")

    def realm(path: str) -> IssuingRealm:
        if path not in realms:
            raise Problem(404, "realm-unknown", detail=f"realms here are {', '.join(sorted(realms))}")
        return realms[path]

    @router.get("/.well-known/openid-configuration")
    async def discovery(path: str) -> dict[str, Any]:
        issuer = realm(path).issuer
        return {
            "issuer": issuer.issuer,
            "jwks_uri": f"{issuer.issuer}/jwks",
            "token_endpoint": f"{issuer.issuer}/token",
            "grant_types_supported": ["password", "client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [issuer.algorithm],
        }

    @router.get("/jwks")
    async def jwks(path: str) -> dict[str, Any]:
        return realm(path).issuer.jwks

    @router.post("/token")
    async def token(path: str, request: Request) -> JSONResponse:
        issuing = realm(path)
        try:
            asked = read_request(
                request.headers.get("content-type", ""),
                request.headers.get("authorization"),
                await request.body(),
            )
            account = find_account(asked, issuing.accounts)
        except OAuthError as error:
            headers = dict(UNCACHED)
            if error.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="feedgate-development"'
            return JSONResponse(
                {"error": error.code, "error_description": error.description}, error.status, headers
            )
        signed = issuing.issuer.mint(
            account.name, account.roles, acr=account.acr, preferred_username=account.name
        )
        return JSONResponse(
            {"access_token": signed, "token_type": "Bearer", "expires_in": issuing.issuer.lifetime_s},
            headers=UNCACHED,
        )

    app.include_router(router)
    return app
