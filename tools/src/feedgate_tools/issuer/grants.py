"""The token endpoint's rules (RFC 6749 §4.3, §4.4, §5)."""

import base64
import binascii
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote_plus

from feedgate_tools.issuer.persons import Account

OAuthCode = Literal["invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type"]

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAXIMUM_FIELDS: Final = 20


class OAuthError(Exception):
    """A refusal as RFC 6749 §5.2 has it."""

    def __init__(self, code: OAuthCode, description: str) -> None:
        super().__init__(description)
        self.code: OAuthCode = code
        self.description = description

    @property
    def status(self) -> int:
        return 401 if self.code == "invalid_client" else 400


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What was posted, the secret included."""

    grant_type: str
    name: str
    secret: str


def read_request(content_type: str, authorization: str | None, body: bytes) -> TokenRequest:
    """The request.

    Raises:
        OAuthError: it is not one of the two grants, well-formed.
    """
    fields = _fields(content_type, body)
    grant_type = _needed(fields, "grant_type")
    if grant_type == "password":
        return TokenRequest(grant_type, _needed(fields, "username"), _needed(fields, "password"))
    if grant_type == "client_credentials":
        if authorization is None:
            return TokenRequest(grant_type, _needed(fields, "client_id"), _needed(fields, "client_secret"))
        if "client_secret" in fields:
            raise OAuthError("invalid_request", "the client's secret is in the header and in the body")
        return TokenRequest(grant_type, *_basic(authorization))
    raise OAuthError("unsupported_grant_type", "allowed: password, client_credentials")


def find_account(request: TokenRequest, accounts: Iterable[Account]) -> Account:
    """Whose request it is.

    Raises:
        OAuthError: nobody's; name and secret are judged as one, so neither can be guessed alone.
    """
    found = None
    for account in accounts:
        same_name = secrets.compare_digest(account.name.encode(), request.name.encode())
        same_secret = secrets.compare_digest(account.secret.encode(), request.secret.encode())
        if same_name and same_secret and account.is_client == (request.grant_type == "client_credentials"):
            found = account
    if found is None:
        if request.grant_type == "client_credentials":
            raise OAuthError("invalid_client", "no such client, or another secret")
        raise OAuthError("invalid_grant", "no such person, or another password")
    return found


def _fields(content_type: str, body: bytes) -> Mapping[str, str]:
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise OAuthError("invalid_request", f"the body must be {FORM_TYPE}")
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=MAXIMUM_FIELDS, strict_parsing=True)
    except ValueError:
        raise OAuthError("invalid_request", "the body is not a form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):  # RFC 6749 §3.2
        raise OAuthError("invalid_request", "a parameter is given twice")
    return fields


def _needed(fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise OAuthError("invalid_request", f"`{name}` is missing")
    return fields[name]


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret, form-encoded inside (RFC 6749 §2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "the `Authorization` header is not Basic credentials")
    return unquote_plus(name), unquote_plus(secret)
