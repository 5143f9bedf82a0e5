"""The realms: who is in each, how they sign in, and what their tokens say.

Secrets are placeholders like `${FIRST_PASSWORD}`, which Keycloak fills from its environment when it
imports the files. One it cannot fill would stay as it is, a secret that everybody can read here, so
`deploy/keycloak/start.sh` refuses to start without each.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feedgate_kit.identity import REALM_ROLES, Realm

AUDIENCE: Final = "feedgate"
PAGE: Final = "feedgate-page"
"""Client of the pages: public, authorization code with PKCE."""
STORY: Final = "feedgate-demo"
"""Client of the demo's story, which has no browser: in the demo's realms only, by the password grant."""
PUBLIC_ORIGIN: Final = "${PUBLIC_ORIGIN}"

PASSWORD: Final = "password"  # noqa: S105 - a name for how somebody signed in
SECOND_FACTOR: Final = "mfa"
LEVELS: Final[Mapping[str, int]] = {PASSWORD: 1, SECOND_FACTOR: 2}
"""`acr` in words, and Keycloak's level of authentication for each."""

ACCESS_TOKEN_S: Final = 300
LOGIN_COUNTS_FOR_S: Final = 36_000  # a long shift; then both factors are asked for again

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RealmPlan:
    """One realm of a deployment."""

    name: str
    realm: Realm
    title: str
    people: Mapping[str, str | None]
    """First users, each with their role; owners need none."""
    accounts: Mapping[str, tuple[str, str]]
    """Clients with credentials of their own, each with its role and the placeholder of its secret."""
    asks_for: str
    """`acr` that its people are asked for where a page asks for none."""


def plans(agency: str) -> tuple[RealmPlan, ...]:
    """The four realms of a deployment with one agency. A further agency is one more realm like it."""
    return (
        RealmPlan("feedgate-owners", "owners", "Camera owners", {"owner": None}, {}, PASSWORD),
        RealmPlan(
            f"feedgate-agency-{agency}",
            "agency",
            f"Agency {agency}",
            {"operator": "operator", "supervisor": "supervisor"},
            {"agency-system": ("system", "${AGENCY_SYSTEM_CLIENT_SECRET}")},
            SECOND_FACTOR,
        ),
        RealmPlan("feedgate-oversight", "oversight", "Oversight", {"auditor": "auditor"}, {}, SECOND_FACTOR),
        RealmPlan(
            "feedgate-services",
            "services",
            "Services",
            {},
            {name: (name, f"${{{name.upper()}_CLIENT_SECRET}}") for name in ("ingest", "relay")},
            PASSWORD,
        ),
    )


def realm_file(plan: RealmPlan, *, demo: bool) -> str:
    """The file that Keycloak imports.

    Args:
        plan: which realm.
        demo: people have the password `DEMO_PASSWORD` for good, need no second factor, and may be
            signed in by a program; else their first password is `FIRST_PASSWORD` and must be changed.
    """
    return json.dumps(_realm(plan, demo=demo), indent=2) + "\n"


def _realm(plan: RealmPlan, *, demo: bool) -> Json:
    return {
        "realm": plan.name,
        "displayName": f"Feedgate: {plan.title}",
        "enabled": True,
        "sslRequired": "external",
        "registrationAllowed": False,
        "editUsernameAllowed": False,
        "resetPasswordAllowed": False,  # by mail, which no deployment needs for this
        "rememberMe": False,
        "passwordPolicy": "length(12) and maxLength(64) and notUsername(undefined) and passwordHistory(3)",
        "bruteForceProtected": True,
        "bruteForceStrategy": "MULTIPLE",
        "permanentLockout": False,  # or anybody could lock an operator out for good
        "failureFactor": 5,
        "waitIncrementSeconds": 60,
        "maxFailureWaitSeconds": 900,
        "maxDeltaTimeSeconds": 43_200,
        "accessTokenLifespan": ACCESS_TOKEN_S,
        "accessCodeLifespan": 60,
        "ssoSessionIdleTimeout": 1_800,
        "ssoSessionMaxLifespan": LOGIN_COUNTS_FOR_S,
        "revokeRefreshToken": True,
        "refreshTokenMaxReuse": 0,
        "eventsEnabled": True,
        "eventsExpiration": 7_776_000,  # 90 days
        "adminEventsEnabled": True,
        "attributes": {"acr.loa.map": json.dumps(LEVELS)},
        "roles": {"realm": [{"name": role} for role in _roles(plan)]},
        "clients": _clients(plan, demo=demo),
        "users": _users(plan, demo=demo),
        **_sign_in(demo=demo),
    }


def _roles(plan: RealmPlan) -> Sequence[str]:
    """Those the realm may give; a service that calls nobody needs no client, and yet has its role's name taken."""
    return sorted(REALM_ROLES[plan.realm]) if plan.realm != "owners" else ()


def _clients(plan: RealmPlan, *, demo: bool) -> list[Json]:
    clients = [
        # Built in, and the one that would let anybody try passwords by the password grant.
        {"clientId": "admin-cli", "enabled": False, "publicClient": True, "directAccessGrantsEnabled": False}
    ]
    clients += [_account(name, secret) for name, (_, secret) in plan.accounts.items()]
    if plan.people:
        clients.append(_page(PASSWORD if demo else plan.asks_for))
        if demo:
            clients.append(_client(STORY, publicClient=True, directAccessGrantsEnabled=True))
    return clients


def _client(name: str, **different: Any) -> Json:
    return {
        "clientId": name,
        "enabled": True,
        "publicClient": False,
        "standardFlowEnabled": False,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": False,
        "protocolMappers": [
            {
                "name": "audience",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": {
                    "included.custom.audience": AUDIENCE,
                    "access.token.claim": "true",
                    "id.token.claim": "false",
                },
            }
        ],
    } | different


def _account(name: str, secret: str) -> Json:
    return _client(name, secret=secret, serviceAccountsEnabled=True)


def _page(asks_for: str) -> Json:
    return _client(
        PAGE,
        publicClient=True,
        standardFlowEnabled=True,
        redirectUris=[f"{PUBLIC_ORIGIN}/demo/"],
        webOrigins=[PUBLIC_ORIGIN],
        attributes={
            "pkce.code.challenge.method": "S256",
            "default.acr.values": asks_for,
            "post.logout.redirect.uris": f"{PUBLIC_ORIGIN}/demo/",
        },
    )


def _users(plan: RealmPlan, *, demo: bool) -> list[Json]:
    people = [_person(name, role, demo=demo) for name, role in plan.people.items()]
    accounts = [
        {"username": f"service-account-{name}", "serviceAccountClientId": name, "realmRoles": [role]}
        for name, (role, _) in plan.accounts.items()
    ]
    return [{"enabled": True, **user} for user in (*people, *accounts)]


def _person(name: str, role: str | None, *, demo: bool) -> Json:
    first = "${DEMO_PASSWORD}" if demo else "${FIRST_PASSWORD}"
    return {
        "username": name,
        # Keycloak asks whoever lacks one of these for it before anything else.
        "email": f"{name}@example.org",
        "emailVerified": True,
        "firstName": name.capitalize(),
        "lastName": "Example",
        "credentials": [{"type": "password", "value": first, "temporary": not demo}],
        "requiredActions": [] if demo else ["UPDATE_PASSWORD"],
        "realmRoles": [] if role is None else [role],
    }


def _sign_in(*, demo: bool) -> Json:
    """How people sign in: a password, and the second factor where that level is asked for."""
    steps = {PASSWORD: "auth-username-password-form", SECOND_FACTOR: "auth-otp-form"}
    levels = [
        _flow(
            f"sign in: {name}",
            _step("conditional-level-of-authentication", "REQUIRED", authenticatorConfig=f"level {name}"),
            _step(steps[name], "REQUIRED"),
        )
        for name in LEVELS
    ]
    by_program = ["direct-grant-validate-username", "direct-grant-validate-password"]
    return {
        "authenticationFlows": [
            _flow(
                "sign in",
                _step("auth-cookie", "ALTERNATIVE"),
                _subflow("sign in: forms", "ALTERNATIVE"),
                top=True,
            ),
            _flow("sign in: forms", *(_subflow(f"sign in: {name}", "CONDITIONAL") for name in LEVELS)),
            *levels,
            _flow(
                "by program",
                *(
                    _step(name, "REQUIRED")
                    for name in (by_program if demo else ["deny-access-authenticator"])
                ),
                top=True,
            ),
        ],
        "authenticatorConfig": [
            {
                "alias": f"level {name}",
                "config": {"loa-condition-level": str(level), "loa-max-age": str(LOGIN_COUNTS_FOR_S)},
            }
            for name, level in LEVELS.items()
        ],
        "browserFlow": "sign in",
        "directGrantFlow": "by program",
    }


def _flow(alias: str, *executions: Json, top: bool = False) -> Json:
    return {
        "alias": alias,
        "providerId": "basic-flow",
        "topLevel": top,
        "builtIn": False,
        "authenticationExecutions": [
            execution | {"priority": 10 * place} for place, execution in enumerate(executions, start=1)
        ],
    }


def _step(authenticator: str, requirement: str, **further: str) -> Json:
    return {
        "authenticator": authenticator,
        "authenticatorFlow": False,
        "requirement": requirement,
        "userSetupAllowed": False,
        **further,
    }


def _subflow(alias: str, requirement: str) -> Json:
    return {
        "flowAlias": alias,
        "authenticatorFlow": True,
        "requirement": requirement,
        "userSetupAllowed": False,
    }
