"""Who asks, and whether to believe them."""

from feedgate_kit.identity.bearer import (
    Authenticated,
    Operator,
    Owner,
    Supervisor,
    SystemAccount,
    authenticate,
    require_role,
    service,
)
from feedgate_kit.identity.issuers import IssuerConfig, IssuersError, load_issuers
from feedgate_kit.identity.key_sets import IssuerUnavailableError
from feedgate_kit.identity.plain_http import PlainHttpIssuerError, is_loopback, refuse_plain_http
from feedgate_kit.identity.principal import REALM_ROLES, Principal, Realm, operator_pseudonym, owner_key
from feedgate_kit.identity.verifier import TokenError, TokenVerifier

__all__ = [
    "REALM_ROLES",
    "Authenticated",
    "IssuerConfig",
    "IssuerUnavailableError",
    "IssuersError",
    "Operator",
    "Owner",
    "PlainHttpIssuerError",
    "Principal",
    "Realm",
    "Supervisor",
    "SystemAccount",
    "TokenError",
    "TokenVerifier",
    "authenticate",
    "is_loopback",
    "load_issuers",
    "operator_pseudonym",
    "owner_key",
    "refuse_plain_http",
    "require_role",
    "service",
]
