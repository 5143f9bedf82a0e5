"""The list of issuers as an operator writes it, and the rule about plain http."""

from pathlib import Path

import pytest

from feedgate_kit.identity import (
    IssuersError,
    PlainHttpIssuerError,
    is_loopback,
    load_issuers,
    refuse_plain_http,
)

WHOLE = """
- issuer: https://login.example/realms/owners
  realm: owners
  audience: feedgate
- issuer: https://login.example/realms/metro
  realm: agency
  agency: metro-police
  audience: feedgate
  algorithms: [ES256]
  roles_claim: roles
"""


def test_a_file_names_each_issuer_once(tmp_path: Path) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text(WHOLE)
    owners, metro = load_issuers(path)
    assert (owners.realm, owners.agency) == ("owners", None)
    assert (metro.realm, metro.agency, metro.algorithms) == ("agency", "metro-police", frozenset({"ES256"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds none; allowed: a list of one or more"),
        ("[]", "holds none; allowed: a list of one or more"),
        ("issuer: https://login.example", "holds none; allowed: a list of one or more"),
        ("- {", "cannot be read"),
        ("- !!python/object:os.system {}", "cannot be read"),
        (WHOLE + "- 5", "entry 3: saw `5`; allowed: an object"),
        (WHOLE + WHOLE, "named twice"),
        (
            "- {issuer: 'https://login.example', realm: owners}",
            "entry 1: `audience` is missing; allowed: what the realm writes into `aud`",
        ),
        ("- {issuer: 'https://login.example', realm: owners, audience: ''}", "entry 1, `audience`"),
        (
            "- {issuer: 'https://login.example', realm: police}",
            "entry 1, `realm`: saw `police`; allowed: 'owners'",
        ),
        (
            "- {issuer: 'https://login.example', realm: owners, algorithms: [HS256]}",
            "allowed: one or more of E",
        ),
        (
            "- {issuer: 'ftp://login.example', realm: owners, audience: x}",
            "allowed: `issuer` and `jwks_uri` that are http(s) addresses without user information",
        ),
        (
            "- {issuer: 'https://login.example', realm: owners, algorithm: RS256}",
            "`algorithm` is no field; allowed: issuer,",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_that_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text(text)
    with pytest.raises(IssuersError) as raised:
        load_issuers(path)
    assert said in str(raised.value)
    assert "allowed: " in str(raised.value)
    assert str(raised.value).endswith(" (docs/guide/one-box.md)")
    assert "\n" not in str(raised.value)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(IssuersError, match="cannot be read"):
        load_issuers(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "169.254.169.254", "kafka", "localhost.example.org", "127.0.0.1.nip.io",
     "::ffff:10.0.0.1", "2130706433", "0x7f.1", "fe80::1"],
)  # fmt: skip
def test_everything_else_may_be_another_machine(host: str) -> None:
    assert not is_loopback(host)


OWN = {"PUBLIC_HOST": "127.0.0.1", "KAFKA": "localhost", "DATABASE_URL": "::1"}


def test_plain_http_is_allowed_where_everything_is_on_loopback() -> None:
    refuse_plain_http(["http://127.0.0.1:8180/realms/owners", "http://[::1]/jwks"], OWN)


def test_https_is_allowed_everywhere() -> None:
    refuse_plain_http(["https://login.example/"], {"PUBLIC_HOST": "0.0.0.0"})


@pytest.mark.parametrize("url", ["http://login.example/", "http://10.0.0.1/", "HTTP://login.example/"])
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(PlainHttpIssuerError, match="allowed: https"):
        refuse_plain_http([url], OWN)


@pytest.mark.parametrize("setting", sorted(OWN))
def test_plain_http_is_refused_where_one_host_is_not_loopback_and_its_setting_is_named(setting: str) -> None:
    with pytest.raises(PlainHttpIssuerError, match=f"{setting}.*`10.0.0.7`"):
        refuse_plain_http(["http://127.0.0.1:8180/"], OWN | {setting: "10.0.0.7"})
