"""What a service refuses at its start: one line, status 2, and nothing was done."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate.service_databases import migrate_service
from feedgate_kit.database import Database
from feedgate_kit.migration import NewerSchemaError, migrate
from feedgate_kit.sealing import private_key_text
from feedgate_kit.topics import apply_topics, load_topics
from feedgate_kit.trust import load_trust
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import eventually
from tests.servers.certificates import CertificateAuthority
from tests.servers.kafka import KafkaBroker
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, SeparatedDatabase
from tests.servers.process import ServerProcess

AUDIT = "FEEDGATE_AUDIT_"
ISSUERS = "- {issuer: 'https://id.example.org/realms/owners', realm: owners, audience: feedgate}\n"
DOCUMENTED = re.compile(r" \(docs/\S+\.md\)$")
LATER = "9999_from_a_later_version"
READY_S = 60.0
STAYS_S = 3.0
"""Several times as long as a group needs to tell a member that its name is another's."""


@pytest.fixture
def audit(tmp_path: Path) -> dict[str, str]:
    """Audit's settings, without a Kafka that answers: it does not need one to start."""
    issuers = tmp_path / "issuers.yaml"
    issuers.write_text(ISSUERS, encoding="utf-8")
    return {
        f"{AUDIT}KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        f"{AUDIT}PUBLIC_PORT": "0",
        f"{AUDIT}INTERNAL_PORT": str(free_port()),
        f"{AUDIT}ISSUERS_FILE": str(issuers),
        f"{AUDIT}OWNER_HASH_KEY": "of the owners in this test, and of no other",
        f"{AUDIT}DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'audit.sqlite'}",
    }


def refused(environment: Mapping[str, str]) -> str:
    """The one line that it says before it ends."""
    done = subprocess.run(
        [sys.executable, "-m", "feedgate_audit"],
        capture_output=True,
        text=True,
        env={**environment},
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == 2, done.stderr
    [line] = lines
    assert "; allowed: " in line
    assert DOCUMENTED.search(line)
    return line


@pytest.mark.needs("postgres")
async def test_a_database_of_a_newer_schema(
    audit: dict[str, str],
    postgres_roles: Callable[[], SeparatedDatabase],
    postgres_server: PostgresServer,
) -> None:
    database = postgres_roles()
    await migrate_service("audit", database.owner_url, database.running_role)
    for statement in (
        f"UPDATE alembic_version SET version_num = '{LATER}'",
        f"UPDATE schema_compatibility SET oldest_revision = '{LATER}'",
    ):
        postgres_server.execute(statement, database.name)
    line = refused(audit | {f"{AUDIT}DATABASE_URL": database.running_url})
    assert line.startswith(
        f"the database is at revision `{LATER}`, which feedgate_audit does not know and which needs"
        f" at least `{LATER}`; allowed: at most `0001"
    )
    assert line.endswith("(docs/guide/services.md)")


async def test_a_newer_schema_is_not_migrated(tmp_path: Path) -> None:
    file = tmp_path / "audit.sqlite"
    database = Database(f"sqlite+aiosqlite:///{file}")
    try:
        await migrate(database, "feedgate_audit")
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [LATER])
            connection.execute("UPDATE schema_compatibility SET oldest_revision = ?", [LATER])
        connection.close()
        with pytest.raises(NewerSchemaError, match=LATER):
            await migrate(database, "feedgate_audit")
    finally:
        await database.close()


def test_a_realm_without_an_audience(audit: dict[str, str]) -> None:
    issuers = Path(audit[f"{AUDIT}ISSUERS_FILE"])
    issuers.write_text(ISSUERS.replace(", audience: feedgate", ""), encoding="utf-8")
    line = refused(audit)
    assert line.startswith(f"issuers file `{issuers}`, entry 1: `audience` is missing; allowed: ")
    assert line.endswith(" (docs/guide/one-box.md)")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        pytest.param("SKEW_S", "half a second", "SKEW_S: saw `half a second`; allowed: ", id="wrong"),
        pytest.param(
            "OWNER_HASH_KEY",
            None,
            "OWNER_HASH_KEY is not set; it has no default; allowed: Secret of at least 32 random characters ",
            id="missing",
        ),
        pytest.param(
            "ISSUERS_FILE", None, "ISSUERS_FILE is not set; an OIDC issuer is needed", id="missing, of all"
        ),
    ],
)
def test_a_setting_that_is_wrong_or_missing(
    audit: dict[str, str], name: str, value: str | None, said: str
) -> None:
    given = {variable: text for variable, text in audit.items() if variable != f"{AUDIT}{name}"}
    line = refused(given if value is None else given | {f"{AUDIT}{name}": value})
    assert line.startswith(AUDIT + said)
    assert line.endswith(" (docs/ref/settings.md)")


@pytest.mark.parametrize("setting", ["CA_FILE", "KAFKA_CA_FILE"])
def test_an_authority_that_has_expired(audit: dict[str, str], tmp_path: Path, setting: str) -> None:
    authority = CertificateAuthority(tmp_path, valid_for=timedelta(days=-1))
    line = refused(audit | {f"{AUDIT}{setting}": str(authority.ca_file)})
    assert line.startswith(f"{AUDIT}{setting}: ")
    assert str(authority.ca_file) in line
    assert "(docs/ref/settings.md)" in line


def test_a_server_certificate_that_has_expired(audit: dict[str, str], tmp_path: Path) -> None:
    certificate = CertificateAuthority(tmp_path).issue("audit", valid_for=timedelta(days=-1))
    line = refused(
        audit
        | {
            f"{AUDIT}INTERNAL_CERTIFICATE_FILE": str(certificate),
            f"{AUDIT}INTERNAL_KEY_FILE": str(certificate),
        }
    )
    assert line.startswith(f"{AUDIT}INTERNAL_CERTIFICATE_FILE: `{certificate}` is valid from ")


def test_the_internal_port_speaks_tls_and_says_until_when(audit: dict[str, str], tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate = authority.issue("audit")
    port = audit[f"{AUDIT}INTERNAL_PORT"]
    settings = audit | {
        f"{AUDIT}INTERNAL_CERTIFICATE_FILE": str(certificate),
        f"{AUDIT}INTERNAL_KEY_FILE": str(certificate),
        f"{AUDIT}CA_FILE": str(authority.ca_file),
    }
    process = ServerProcess(
        "audit", [sys.executable, "-m", "feedgate_audit"], tmp_path / "audit.log", environment=settings
    )
    trust = load_trust(authority.ca_file, "CA_FILE")

    def answers() -> bool:
        try:
            return httpx.get(f"https://127.0.0.1:{port}/healthz", verify=trust, trust_env=False).is_success
        except httpx.ConnectError:
            return False

    process.start()
    try:
        process.wait_until(answers, READY_S)
        page = httpx.get(f"https://127.0.0.1:{port}/metrics", verify=trust, trust_env=False).text
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://127.0.0.1:{port}/healthz", trust_env=False)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
    finally:
        process.end()
    for setting in ("CA_FILE", "INTERNAL_CERTIFICATE_FILE"):
        assert f'tls_certificate_not_after_timestamp_seconds{{service="audit",setting="{setting}"}}' in page


async def test_a_second_relay_of_one_name(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    issuers = tmp_path / "issuers.yaml"
    issuers.write_text(ISSUERS, encoding="utf-8")
    await apply_topics(kafka_broker.bootstrap, load_topics(), ["metro-police"])
    relays = [
        ServerProcess(
            f"relay {number}",
            [sys.executable, "-m", "feedgate_relay"],
            tmp_path / f"relay-{number}.log",
            environment={
                "FEEDGATE_RELAY_KAFKA_BOOTSTRAP": kafka_broker.bootstrap,
                "FEEDGATE_RELAY_PUBLIC_PORT": "0",
                "FEEDGATE_RELAY_INTERNAL_PORT": "0",
                "FEEDGATE_RELAY_ISSUERS_FILE": str(issuers),
                "FEEDGATE_RELAY_RELAY_ID": relay_id,
                # Nobody answers there; a relay says its name all the same.
                "FEEDGATE_RELAY_TOKEN_URL": f"http://127.0.0.1:{free_port()}/token",
                "FEEDGATE_RELAY_CLIENT_SECRET": "of nobody",
            },
        )
        for number, relay_id in enumerate(["relay-1", "relay-2", "relay-1"])
    ]
    try:
        for relay in relays[:2]:
            relay.start()
            relay.wait_until(partial(has_said, relay, "the other relays know this one"), READY_S)
        relays[2].start()
        assert relays[2].wait(READY_S) == 2
        assert (
            relays[2].last_words(1).startswith("FEEDGATE_RELAY_RELAY_ID: another relay is `relay-1` already;")
        )
        assert DOCUMENTED.search(relays[2].last_words(1))
        assert has_said(relays[0], "another relay says this one's name")
        assert [relay.running for relay in relays] == [True, True, False]
    finally:
        for relay in relays:
            relay.end()


async def test_of_two_ingest_workers_of_one_name_one_ends(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    await apply_topics(kafka_broker.bootstrap, load_topics(), ["metro-police"])
    workers = [
        ServerProcess(
            f"worker {number}",
            [sys.executable, "-m", "feedgate_ingest"],
            tmp_path / f"worker-{number}.log",
            environment={
                "FEEDGATE_INGEST_KAFKA_BOOTSTRAP": kafka_broker.bootstrap,
                "FEEDGATE_INGEST_PUBLIC_PORT": "0",
                "FEEDGATE_INGEST_INTERNAL_PORT": "0",
                "FEEDGATE_INGEST_WORKER_ID": "site-1",
                "FEEDGATE_INGEST_POOL_PRIVATE_KEY": private_key_text(X25519PrivateKey.generate()),
                # Nobody answers there; no camera is asked for.
                "FEEDGATE_INGEST_TOKEN_URL": f"http://127.0.0.1:{free_port()}/token",
                "FEEDGATE_INGEST_CLIENT_SECRET": "of nobody",
            },
        )
        for number in range(2)
    ]

    async def ended() -> list[ServerProcess]:
        return [worker for worker in workers if not worker.running]

    try:
        for worker in workers:
            worker.start()
        [one] = await eventually(ended, bool, READY_S, "one of them to end")
        assert one.wait(READY_S) == 2
        assert one.last_words(1).startswith(
            "FEEDGATE_INGEST_WORKER_ID: another worker has joined as `site-1`, and has this one's cameras;"
        )
        assert DOCUMENTED.search(one.last_words(1))
        with pytest.raises(StoryError):
            await eventually(ended, lambda those: those != [one], STAYS_S, "the other one to end")
    finally:
        for worker in workers:
            worker.end()


def has_said(process: ServerProcess, words: str) -> bool:
    return words in process.log.read_text(encoding="utf-8")
