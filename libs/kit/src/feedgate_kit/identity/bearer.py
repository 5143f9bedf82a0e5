"""Who calls a route: FastAPI dependencies over the bearer token of a request."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from feedgate_kit.identity.key_sets import IssuerUnavailableError
from feedgate_kit.identity.principal import REALM_ROLES, Principal
from feedgate_kit.identity.verifier import TokenError, TokenVerifier
from feedgate_kit.problems import Problem

CHALLENGE: Final = 'Bearer realm="feedgate"'


async def authenticate(request: HTTPConnection) -> Principal:
    """The bearer of the request's token (RFC 6750 §2.1), verified by `app.state.verifier`.

    Raises:
        Problem: 401 with the token's fault and a challenge; 503 where its issuer cannot be asked.
    """
    verifier: TokenVerifier = request.app.state.verifier
    try:
        return await verifier.verify(_bearer_token(request))
    except TokenError as error:
        challenge = CHALLENGE
        if error.code != "token-missing":  # RFC 6750 §3.1: no error code where no token was sent
            challenge += f', error="invalid_token", error_description="{error.code}"'
        raise Problem(401, error.code, detail=str(error), headers={"WWW-Authenticate": challenge}) from None
    except IssuerUnavailableError:
        raise Problem(
            503,
            "issuer-unavailable",
            detail="the token's issuer cannot be asked for its keys now; try again",
            headers={"Retry-After": "5"},
        ) from None


Authenticated = Annotated[Principal, Depends(authenticate)]


def require_role(*roles: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that gives the caller if they hold one of `roles`, else 403 `role-missing`.

    Raises:
        ValueError: no realm can give such a role, so the route could never be called.
    """
    known = frozenset().union(*REALM_ROLES.values())
    if not roles or not known.issuperset(roles):
        raise ValueError(f"roles {roles} are not all among {sorted(known)}")

    async def required(principal: Authenticated) -> Principal:
        if principal.roles.isdisjoint(roles):
            wanted = " or ".join(f"`{role}`" for role in roles)
            raise Problem(
                403,
                "role-missing",
                detail=f"this needs the role {wanted}",
                headers={
                    "WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{" ".join(roles)}"'
                },
            )
        return principal

    return required


def service(name: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only the service `name` in."""
    return require_role(name)


Owner = Annotated[Principal, Depends(require_role("owner"))]
Operator = Annotated[Principal, Depends(require_role("operator"))]
Supervisor = Annotated[Principal, Depends(require_role("supervisor"))]
SystemAccount = Annotated[Principal, Depends(require_role("system"))]


def _bearer_token(request: HTTPConnection) -> str:
    values = request.headers.getlist("authorization")
    if not values:
        raise TokenError("token-missing", "the request has no `Authorization: Bearer` token")
    if len(values) > 1:
        raise TokenError("token-malformed", "the request has more than one `Authorization` header")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenError("token-missing", "the request has no `Authorization: Bearer` token")
    return token.strip()
