"""What a deployment of containers is given before its first start."""

import os
import ssl
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from feedgate.authority import CERTIFICATE_LASTS, Authority, Pair
from feedgate.cli import app
from feedgate.stack_secrets import OWNERS, Originals, Plan, StackSecretsError, make_stack_secrets
from feedgate_access_policy.ticket import TicketKeyFile
from feedgate_ingest.settings import IngestSettings
from feedgate_kit.agencies import load_agencies
from feedgate_kit.identity.issuers import load_issuers
from feedgate_kit.sealing import key_id_of, read_private_key
from feedgate_registry.pools import load_pools

COMPOSE = Path(__file__).resolve().parents[3] / "deploy" / "compose"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
PLAN = Plan(
    origin="https://feedgate.example.org:8443",
    issuers=COMPOSE / "issuers.yaml",
    agencies=COMPOSE / "agencies.yaml",
    allowed_networks=("192.168.7.0/24",),
)


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_making_them_again_changes_nothing(tmp_path: Path) -> None:
    assert make_stack_secrets(tmp_path, PLAN)
    first = files_of(tmp_path)
    assert make_stack_secrets(tmp_path, PLAN) == []
    assert files_of(tmp_path) == first


def test_an_original_that_was_removed_is_made_anew_for_all_who_share_it(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    (tmp_path / "originals/kafka-relay").unlink()
    assert make_stack_secrets(tmp_path, PLAN) == ["relay/feedgate_relay_kafka_password", "jobs/kafka/relay"]
    files = files_of(tmp_path)
    assert files["relay/feedgate_relay_kafka_password"] == files["jobs/kafka/relay"]


def test_the_services_can_read_what_they_are_given(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    issuers = load_issuers(tmp_path / "relay/issuers.yaml")
    assert {issuer.realm for issuer in issuers} == {"owners", "agency", "oversight", "services"}
    assert all(issuer.issuer.startswith(f"{PLAN.origin}/identity/realms/") for issuer in issuers)
    assert load_issuers(tmp_path / "page/issuers.yaml") == issuers
    agency = load_agencies(tmp_path / "access-policy/agencies.yaml")["metro-police"]
    assert agency.issuer in {issuer.issuer for issuer in issuers}
    assert TicketKeyFile(tmp_path / "access-policy/ticket.pem").jwks()["keys"]
    pool = load_pools(tmp_path / "registry/pools.yaml")["site"]
    private = (tmp_path / "ingest/feedgate_ingest_pool_private_key").read_text(encoding="utf-8")
    assert pool.key_id == key_id_of(read_private_key(private).public_key())
    assert [str(network) for network in pool.allowed_networks] == ["192.168.7.0/24"]


def test_every_secret_a_service_is_given_is_one_of_its_settings(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    prefix = IngestSettings.setting_name("").lower()
    given = {file.name for file in (tmp_path / "ingest").iterdir() if file.name.startswith("feedgate_")}
    assert given == {
        f"{prefix}{setting}" for setting in ("pool_private_key", "client_secret", "kafka_password")
    }
    assert {name.removeprefix(prefix) for name in given} <= set(IngestSettings.model_fields)


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    for file in tmp_path.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_each_container_owns_its_files(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    for container, owner in OWNERS.items():
        for file in (tmp_path / container).rglob("*"):
            assert (file.stat().st_uid, file.stat().st_gid) == (owner, owner), file


def test_what_one_service_alone_may_hold_is_with_it_alone(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    files = files_of(tmp_path)
    for original in ("ticket.pem", "pool-site", "operator-pseudonym-key", "ca.key"):
        secret = files[f"originals/{original}"]
        holders = {name.partition("/")[0] for name, text in files.items() if secret in text} - {"originals"}
        assert len(holders) == (0 if original == "ca.key" else 1), (original, holders)


def test_a_certificate_is_believed_for_its_names_alone(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    certificate = x509.load_pem_x509_certificate((tmp_path / "gateway/tls.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["feedgate.example.org"]
    context = ssl.create_default_context(cafile=tmp_path / "gateway/ca.pem")
    assert context.cert_store_stats()["x509_ca"] == 1
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        tmp_path / "gateway/tls.pem", tmp_path / "gateway/tls.key"
    )


@pytest.mark.parametrize("service", ["ingest", "relay"])
def test_an_internal_certificate_is_for_up_to_nine_containers(tmp_path: Path, service: str) -> None:
    make_stack_secrets(tmp_path, PLAN)
    certificate = x509.load_pem_x509_certificate((tmp_path / service / "internal.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {f"{service}-{number}.inside" for number in range(1, 10)} <= set(
        names.get_values_for_type(x509.DNSName)
    )


@pytest.mark.parametrize(
    ("later", "hosts", "same"),
    [
        (timedelta(days=1), ["a.example"], True),
        (CERTIFICATE_LASTS - timedelta(days=59), ["a.example"], False),
        (timedelta(days=1), ["b.example"], False),
    ],
)
def test_a_certificate_is_made_anew_before_its_end_or_for_other_names(
    tmp_path: Path, later: timedelta, hosts: list[str], same: bool
) -> None:
    originals = Originals(tmp_path, NOW)
    first = originals.certificate("door", ["a.example"])
    again = replace(originals, now=NOW + later).certificate("door", hosts)
    assert (again == first) is same


def test_a_new_authority_signs_everything_anew_and_never_replaces_what_the_operator_put_there(
    tmp_path: Path,
) -> None:
    originals = Originals(tmp_path, NOW)
    first = originals.certificate("door", ["a.example"])
    for name in ("ca.pem", "ca.key"):
        (tmp_path / name).unlink()
    again = originals.certificate("door", ["a.example"])
    assert again != first
    assert again.issued_by(originals.authority().pair)
    bought = self_signed("a.example")
    (tmp_path / "door.pem").write_text(bought.certificate)
    (tmp_path / "door.key").write_text(bought.key)
    assert originals.certificate("door", ["b.example"]) == bought


def self_signed(host: str) -> Pair:
    """A certificate that no authority of ours issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def test_two_authorities_do_not_vouch_for_each_other() -> None:
    one, other = Authority.make(NOW), Authority.make(NOW)
    certificate = x509.load_pem_x509_certificate(one.issue("door", ["a.example"], NOW).certificate.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(one.pair.certificate.encode()))
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(other.pair.certificate.encode()))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackSecretsError, match=r"absent\.yaml"):
        make_stack_secrets(tmp_path, replace(PLAN, issuers=tmp_path / "absent.yaml"))


def test_the_command_names_files_and_never_what_they_hold(tmp_path: Path) -> None:
    arguments = ["stack-secrets", str(tmp_path), "--origin", PLAN.origin]
    arguments += ["--issuers-file", str(PLAN.issuers), "--agencies-file", str(PLAN.agencies)]
    said = CliRunner().invoke(app, arguments).output
    assert "access-policy/ticket.pem" in said
    assert not [
        text for name, text in files_of(tmp_path).items() if not name.endswith(".yaml") and text in said
    ]
    assert CliRunner().invoke(app, arguments).output == "nothing to change\n"


def test_the_story_is_played_by_people_of_the_demo_realms(tmp_path: Path) -> None:
    make_stack_secrets(tmp_path, PLAN)
    cast = yaml.safe_load((tmp_path / "story/cast.yaml").read_text(encoding="utf-8"))
    assert set(cast) == {"owner", "operator", "supervisor", "agency-system"}
    assert cast["agency-system"]["form"]["grant_type"] == "client_credentials"
