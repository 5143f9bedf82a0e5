"""The files that Keycloak imports: what the generator makes, and no secret in them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedgate_kit.identity import REALM_ROLES
from feedgate_tools.keycloak.realms import plans, realm_file

FOLDER = Path(__file__).parents[3] / "deploy" / "keycloak"
AGENCY = "metro-police"
SETS = {"realms": False, "demo": True}
PLACEHOLDER = re.compile(r"\$\{[A-Z_]+\}")


def realms(name: str) -> dict[str, dict[str, Any]]:
    files = sorted((FOLDER / name).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def values_of(document: Any, *names: str) -> Iterator[Any]:
    """Every value under one of these names, however deep."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in names:
                yield value
            yield from values_of(value, *names)
    elif isinstance(document, list):
        for entry in document:
            yield from values_of(entry, *names)


@pytest.mark.parametrize("name", SETS)
def test_the_files_are_what_the_generator_makes(name: str) -> None:
    expected = {plan.name: realm_file(plan, demo=SETS[name]) for plan in plans(AGENCY)}
    there = {file.stem: file.read_text(encoding="utf-8") for file in (FOLDER / name).glob("*.json")}
    assert there == expected, "python -m feedgate_tools.keycloak deploy/keycloak"


@pytest.mark.parametrize("name", SETS)
def test_no_file_holds_a_secret(name: str) -> None:
    for realm in realms(name).values():
        for secret in values_of(realm, "secret"):
            assert PLACEHOLDER.fullmatch(secret)
        for [credential] in (user["credentials"] for user in realm["users"] if "credentials" in user):
            assert PLACEHOLDER.fullmatch(credential["value"])


def test_outside_the_demo_every_first_password_must_be_changed() -> None:
    people = [user for realm in realms("realms").values() for user in realm["users"] if "credentials" in user]
    assert {person["username"] for person in people} == {"owner", "operator", "supervisor", "auditor"}
    for person in people:
        assert person["requiredActions"] == ["UPDATE_PASSWORD"]
        assert [credential["temporary"] for credential in person["credentials"]] == [True]


@pytest.mark.parametrize("name", SETS)
def test_a_realm_guards_its_people(name: str) -> None:
    for realm in realms(name).values():
        assert realm["bruteForceProtected"] is True
        assert realm["accessTokenLifespan"] <= 300
        by_program = [
            client["clientId"] for client in realm["clients"] if client["directAccessGrantsEnabled"]
        ]
        assert by_program == (["feedgate-demo"] if name == "demo" and "feedgate-page" in str(realm) else [])
        for client in realm["clients"]:
            assert not client.get("implicitFlowEnabled")
            if client.get("standardFlowEnabled"):
                assert client["attributes"]["pkce.code.challenge.method"] == "S256"
                assert client["redirectUris"] == ["${PUBLIC_ORIGIN}/demo/"]


@pytest.mark.parametrize("name", SETS)
def test_a_realm_names_only_roles_it_may_give(name: str) -> None:
    for plan in plans(AGENCY):
        realm = realms(name)[plan.name]
        given = {role for user in realm["users"] for role in user["realmRoles"]}
        assert given <= REALM_ROLES[plan.realm]


STAND_IN = """\
#!/bin/sh
echo "$@"
echo "secret is $INGEST_CLIENT_SECRET"
"""


def started(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir()
    server = folder / "bin" / "kc.sh"
    server.write_text(STAND_IN, encoding="utf-8")
    server.chmod(0o755)
    (folder / "data").mkdir()
    (folder / "data" / "import").symlink_to(FOLDER / "realms")
    return subprocess.run(
        [FOLDER / "start.sh", "start", "--optimized"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "KC_HOME": str(folder), **environment},
        check=False,
    )


SECRETS = {
    "PUBLIC_ORIGIN": "https://feedgate.example.org",
    "FIRST_PASSWORD": "first",
    "AGENCY_SYSTEM_CLIENT_SECRET": "one",
    "RELAY_CLIENT_SECRET": "two",
}


def test_it_does_not_start_while_a_secret_would_stay_a_placeholder(tmp_path: Path) -> None:
    done = started(tmp_path, **SECRETS)
    assert (done.returncode, done.stdout) == (2, "")
    assert "INGEST_CLIENT_SECRET is not set" in done.stderr


def test_it_reads_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "ingest"
    file.write_text("three\n", encoding="utf-8")
    done = started(tmp_path, **SECRETS, INGEST_CLIENT_SECRET_FILE=str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "start --optimized --import-realm\nsecret is three\n"
