"""Which tokens are believed, and with which code the others are refused."""

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from feedgate_kit.identity import IssuerConfig, IssuersError, TokenError, TokenVerifier
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.tokens import LocalIssuer

OWNERS = "https://login.example/realms/owners"
METRO = "https://login.example/realms/metro"


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def owners(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate(OWNERS, clock, realm="owners")


@pytest.fixture
def metro(clock: SteppedClock) -> LocalIssuer:
    return LocalIssuer.generate(METRO, clock, realm="agency", agency="metro-police")


@pytest.fixture
def verifier(owners: LocalIssuer, metro: LocalIssuer, clock: SteppedClock) -> TokenVerifier:
    return TokenVerifier([owners.config(), metro.config()], clock)


async def refused(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenError) as raised:
        await verifier.verify(token)
    assert token not in str(raised.value) or not token
    return raised.value.code


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_a_token_names_its_bearer_realm_agency_and_roles(
    verifier: TokenVerifier, metro: LocalIssuer, clock: SteppedClock
) -> None:
    principal = await verifier.verify(metro.mint("officer-7", ["operator"], acr="phrh"))
    assert (principal.issuer, principal.subject, principal.realm) == (METRO, "officer-7", "agency")
    assert (principal.agency, principal.roles, principal.acr) == (
        "metro-police",
        frozenset({"operator"}),
        "phrh",
    )
    assert principal.expires_at == clock.now_us() + 300_000_000


async def test_everybody_of_the_owners_realm_is_an_owner_and_nothing_else(
    verifier: TokenVerifier, owners: LocalIssuer
) -> None:
    principal = await verifier.verify(owners.mint("ana", ["operator", "supervisor", "ingest"]))
    assert principal.roles == {"owner"}


async def test_an_agency_cannot_give_a_role_of_another_realm(
    verifier: TokenVerifier, metro: LocalIssuer
) -> None:
    claimed = ["owner", "auditor", "ingest", "relay", "operator"]
    assert (await verifier.verify(metro.mint("officer-7", claimed))).roles == {"operator"}


async def test_a_token_of_one_realm_that_claims_another_issuer_is_refused(
    verifier: TokenVerifier, metro: LocalIssuer
) -> None:
    assert await refused(verifier, metro.mint("officer-7", [], iss=OWNERS)) == "signature-wrong"


async def test_a_foreign_issuer_is_refused(verifier: TokenVerifier, clock: SteppedClock) -> None:
    foreign = LocalIssuer.generate("https://elsewhere.example", clock, realm="owners")
    assert await refused(verifier, foreign.mint("ana", [])) == "issuer-unknown"


@pytest.mark.parametrize("spelling", [OWNERS + "/", OWNERS.upper(), OWNERS.replace("https", "http")])
async def test_an_issuer_is_compared_letter_by_letter(
    verifier: TokenVerifier, owners: LocalIssuer, spelling: str
) -> None:
    assert await refused(verifier, owners.mint("ana", [], iss=spelling)) == "issuer-unknown"


async def test_a_token_lives_until_its_end_and_the_leeway(
    verifier: TokenVerifier, owners: LocalIssuer, clock: SteppedClock
) -> None:
    token = owners.mint("ana", [])
    clock.advance(304.9)
    await verifier.verify(token)
    clock.advance(0.1)
    assert await refused(verifier, token) == "token-expired"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_from_the_future_is_refused(
    verifier: TokenVerifier, owners: LocalIssuer, clock: SteppedClock, claim: str
) -> None:
    now_s = clock.now_us() // 1_000_000
    too_early: dict[str, Any] = {claim: now_s + 6}
    assert await refused(verifier, owners.mint("ana", [], **too_early)) == "token-not-yet-valid"
    within_the_leeway: dict[str, Any] = {claim: now_s + 5}
    await verifier.verify(owners.mint("ana", [], **within_the_leeway))


@pytest.mark.parametrize("audience", ["another-application", ["one", "two"], [], "feedgate2"])
async def test_a_token_for_another_audience_is_refused(
    verifier: TokenVerifier, owners: LocalIssuer, audience: Any
) -> None:
    assert await refused(verifier, owners.mint("ana", [], aud=audience)) == "audience-wrong"


async def test_one_of_several_audiences_is_enough(verifier: TokenVerifier, owners: LocalIssuer) -> None:
    await verifier.verify(owners.mint("ana", [], aud=["account", "feedgate"]))


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", None),
        ("aud", 5),
        ("aud", ["feedgate", 5]),
        ("exp", None),
        ("exp", "tomorrow"),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("exp", True),
        ("exp", 10**30),
        ("iat", None),
        ("iat", -1),
        ("nbf", "soon"),
        ("iss", None),
        ("iss", ["https://login.example/realms/owners"]),
        ("sub", None),
        ("sub", ""),
        ("sub", 7),
        ("sub", "a" * 256),
        ("sub", "a\0b"),
    ],
)
async def test_a_token_without_a_usable_claim_is_malformed(
    verifier: TokenVerifier, clock: SteppedClock, claim: str, value: Any
) -> None:
    key = Ed25519PrivateKey.generate()
    issuer = LocalIssuer(key, OWNERS, clock, realm="owners")
    claims = claims_of(issuer.mint("ana", [])) | {claim: value}
    # By hand: PyJWT itself refuses to sign some of these.
    signed = f"{encoded({'alg': 'EdDSA', 'kid': issuer.kid})}.{encoded(claims)}"
    signature = base64.urlsafe_b64encode(key.sign(signed.encode())).rstrip(b"=").decode()
    assert (
        await refused(TokenVerifier([issuer.config()], clock), f"{signed}.{signature}") == "token-malformed"
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "not a token",
        "eyJhbGciOiJFZERTQSJ9",
        "é.é.é",
        "\ud800.a.b",
        f"{encoded([])}.{encoded({})}.",
        f"{encoded({'alg': 'EdDSA'})}.{encoded([])}.AA",
        f"{encoded({'alg': 'EdDSA'})}.{encoded({'iss': OWNERS})}.A",
        "a" * 20_000,
        "[" * 3_000,
        f"{base64.urlsafe_b64encode(b'[' * 6_000).decode()}.{encoded({})}.AA",
    ],
)
async def test_what_is_no_token_is_malformed(verifier: TokenVerifier, token: str) -> None:
    assert await refused(verifier, token) in {"token-malformed", "signature-wrong"}


async def test_alg_none_is_refused(verifier: TokenVerifier, owners: LocalIssuer) -> None:
    claims = claims_of(owners.mint("ana", []))
    for algorithm in ("none", "None", "NONE", ""):
        header = {"alg": algorithm, "typ": "JWT", "kid": owners.kid}
        for signature in ("", "AA"):
            unsigned = f"{encoded(header)}.{encoded(claims)}.{signature}"
            assert await refused(verifier, unsigned) in {"signature-wrong", "token-malformed"}


async def test_a_public_key_is_no_hmac_secret(clock: SteppedClock) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "k"}
    # Also where the JWK leaves its algorithm open.
    config = IssuerConfig(issuer=OWNERS, realm="owners", jwks={"keys": [jwk]})
    verifier = TokenVerifier([config], clock)
    now_s = clock.now_us() // 1_000_000
    claims = {"iss": OWNERS, "sub": "ana", "aud": "feedgate", "iat": now_s, "exp": now_s + 60}
    await verifier.verify(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k"}))
    for secret in (public_pem, public_pem.strip(), json.dumps(jwk).encode(), b""):
        signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k'})}.{encoded(claims)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert await refused(verifier, token) == "signature-wrong"


async def test_an_issuer_may_use_only_the_algorithms_it_is_configured_with(clock: SteppedClock) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "k"}
    now_s = clock.now_us() // 1_000_000
    claims = {"iss": OWNERS, "sub": "ana", "aud": "feedgate", "iat": now_s, "exp": now_s + 60}
    tokens = {
        algorithm: jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k"})
        for algorithm in ("RS256", "RS512", "PS256")
    }
    config = IssuerConfig(
        issuer=OWNERS, realm="owners", jwks={"keys": [jwk]}, algorithms=frozenset({"PS256"})
    )
    verifier = TokenVerifier([config], clock)
    await verifier.verify(tokens["PS256"])
    assert await refused(verifier, tokens["RS256"]) == "signature-wrong"
    assert await refused(verifier, tokens["RS512"]) == "signature-wrong"
    narrow = config.model_copy(
        update={"jwks": {"keys": [jwk | {"alg": "RS256"}]}, "algorithms": frozenset({"RS256", "PS256"})}
    )
    assert await refused(TokenVerifier([narrow], clock), tokens["PS256"]) == "signature-wrong"


async def test_a_key_brought_in_the_header_counts_for_nothing(
    verifier: TokenVerifier, owners: LocalIssuer, clock: SteppedClock
) -> None:
    forger = Ed25519PrivateKey.generate()
    own_jwk = jwt.algorithms.OKPAlgorithm.to_jwk(forger.public_key(), as_dict=True)
    token = jwt.encode(
        claims_of(owners.mint("ana", [])),
        forger,
        algorithm="EdDSA",
        headers={"kid": owners.kid, "jwk": own_jwk, "jku": "https://elsewhere.example/jwks"},
    )
    assert await refused(verifier, token) == "signature-wrong"


async def test_a_changed_token_is_refused(verifier: TokenVerifier, metro: LocalIssuer) -> None:
    header, _, signature = metro.mint("officer-7", ["operator"]).split(".")
    claims = claims_of(metro.mint("officer-7", ["operator"])) | {"sub": "officer-8"}
    assert await refused(verifier, f"{header}.{encoded(claims)}.{signature}") == "signature-wrong"


async def test_an_unknown_kid_of_a_static_issuer_is_refused(
    verifier: TokenVerifier, owners: LocalIssuer, clock: SteppedClock
) -> None:
    replaced = LocalIssuer.generate(OWNERS, clock, realm="owners")
    assert await refused(verifier, replaced.mint("ana", [])) == "signature-wrong"


async def test_a_critical_header_that_is_not_understood_is_refused(
    clock: SteppedClock,
) -> None:
    key = Ed25519PrivateKey.generate()
    issuer = LocalIssuer(key, OWNERS, clock, realm="owners")
    claims = claims_of(issuer.mint("ana", []))
    header = {"alg": "EdDSA", "kid": issuer.kid, "crit": ["exp"], "exp": 1}
    signed = f"{encoded(header)}.{encoded(claims)}"
    signature = base64.urlsafe_b64encode(key.sign(signed.encode())).rstrip(b"=").decode()
    assert (
        await refused(TokenVerifier([issuer.config()], clock), f"{signed}.{signature}") == "token-malformed"
    )


async def test_symmetric_and_weak_keys_of_a_key_set_are_left_out(clock: SteppedClock) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak_jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key())) | {"kid": "weak"}
    good = ec.generate_private_key(ec.SECP256R1())
    good_jwk = jwt.algorithms.ECAlgorithm.to_jwk(good.public_key(), as_dict=True) | {"kid": "good"}
    jwks = {
        "keys": [
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
            weak_jwk,
            {"kty": "EC", "crv": "P-256", "x": "AA"},
            {"kty": "RSA", "n": 5, "e": []},
            good_jwk | {"kid": "for-encryption", "use": "enc"},
            "no object",
            None,
            good_jwk,
        ]
    }
    config = IssuerConfig(issuer=OWNERS, realm="owners", jwks=jwks)
    verifier = TokenVerifier([config], clock)
    now_s = clock.now_us() // 1_000_000
    claims = {"iss": OWNERS, "sub": "ana", "aud": "feedgate", "iat": now_s, "exp": now_s + 60}
    await verifier.verify(jwt.encode(claims, good, algorithm="ES256", headers={"kid": "good"}))
    # Without a `kid` the one key that fits is meant (OIDC Core §10.1).
    await verifier.verify(jwt.encode(claims, good, algorithm="ES256"))
    token = jwt.encode(claims, good, algorithm="ES256", headers={"kid": "for-encryption"})
    assert await refused(verifier, token) == "signature-wrong"
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(claims, weak, algorithm="RS256", headers={"kid": "weak"})
    assert await refused(verifier, token) == "signature-wrong"


@pytest.mark.parametrize(
    ("path", "claims", "roles"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["operator", 5, None, "admin"]}}, {"operator"}),
        ("roles", {"roles": ["supervisor"]}, {"supervisor"}),
        ("scope", {"scope": "openid operator"}, {"operator"}),
        ("https://feedgate.example/roles", {"https://feedgate.example/roles": ["operator"]}, {"operator"}),
        ("realm_access.roles", {"realm_access": "operator"}, set()),
        ("realm_access.roles", {"realm_access": {"roles": {"operator": True}}}, set()),
        ("realm_access.roles", {"realm_access": None}, set()),
    ],
)
async def test_roles_come_from_the_claim_the_issuer_is_configured_with(
    metro: LocalIssuer, clock: SteppedClock, path: str, claims: dict[str, Any], roles: set[str]
) -> None:
    config = metro.config().model_copy(update={"roles_claim": path})
    token = metro.mint("officer-7", [], **claims)
    assert (await TokenVerifier([config], clock).verify(token)).roles == roles


def test_two_entries_for_one_issuer_are_refused(owners: LocalIssuer, clock: SteppedClock) -> None:
    with pytest.raises(IssuersError, match=re.escape(OWNERS)):
        TokenVerifier([owners.config(), owners.config().model_copy(update={"realm": "services"})], clock)


@pytest.mark.parametrize(
    "fields",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": []},
        {"realm": "agency"},
        {"agency": "metro-police"},
        {"realm": "police"},
        {"issuer": "ftp://login.example"},
        {"issuer": "https://user:word@login.example"},
        {"jwks_uri": "login.example/jwks"},
        {"jwks": {"keys": []}, "jwks_uri": "https://login.example/jwks"},
        {"role_claim": "roles"},
    ],
    ids=str,
)
def test_an_issuer_that_could_not_be_judged_is_refused(fields: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"issuer": OWNERS, "realm": "owners"}
    IssuerConfig.model_validate(whole)
    with pytest.raises(ValueError, match="validation error"):
        IssuerConfig.model_validate(whole | fields)


def test_the_local_issuer_publishes_no_private_key(owners: LocalIssuer) -> None:
    (key,) = owners.jwks["keys"]
    assert "d" not in key
    assert set(key) <= {"kty", "crv", "x", "kid", "use", "alg", "key_ops"}
