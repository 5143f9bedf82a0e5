"""The steps by which a key is replaced: what the services that read the file make of it after each."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner

from feedgate.authority import Authority
from feedgate.cli import app
from feedgate.rotation import Kind, RotationError, Step, new_source_key, rotate
from feedgate.signing_key import new_signing_key
from feedgate.stack_secrets import Plan, make_stack_secrets
from feedgate_access_policy.ticket import TicketKeyFile
from feedgate_ingest.settings import IngestSettings
from feedgate_registry.pools import load_pools

COMPOSE = Path(__file__).resolve().parents[3] / "deploy" / "compose"
PLAN = Plan(
    origin="https://feedgate.example.org:8443",
    issuers=COMPOSE / "issuers.yaml",
    agencies=COMPOSE / "agencies.yaml",
)


def ticket_file(folder: Path) -> Path:
    file = folder / "ticket.pem"
    file.write_text(new_signing_key(), encoding="ascii")
    return file


def source_file(folder: Path) -> Path:
    file = folder / "pool"
    file.write_text(new_source_key(), encoding="ascii")  # without an end of line, as `setup` writes it
    return file


def authority_file(folder: Path) -> Path:
    pair = Authority.make(datetime.now(UTC)).pair
    (folder / "ca.pem").write_text(pair.certificate, encoding="ascii")
    (folder / "ca.key").write_text(pair.key, encoding="ascii")
    return folder / "ca.pem"


def ticket_ids(file: Path) -> list[str]:
    return [key["kid"] for key in TicketKeyFile(file).jwks()["keys"]]


def source_ids(file: Path) -> list[str]:
    settings = IngestSettings.model_validate({"pool_private_key": file.read_text(encoding="ascii")})
    return list(settings.load_pool_keys().private_keys)


def authority_ids(file: Path) -> list[int]:
    return [each.serial_number for each in x509.load_pem_x509_certificates(file.read_bytes())]


KINDS: dict[Kind, tuple[Callable[[Path], Path], Callable[[Path], list[Any]]]] = {
    "ticket-key": (ticket_file, ticket_ids),
    "source-key": (source_file, source_ids),
    "authority": (authority_file, authority_ids),
}


def names_of(said: list[str]) -> list[str]:
    """The keys' names in what a step says."""
    return [line.partition(": ")[2].partition(",")[0] for line in said]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_key_is_believed_then_used_and_then_the_last_one_is_gone(kind: Kind, tmp_path: Path) -> None:
    make, ids = KINDS[kind]
    file = make(tmp_path)
    file.chmod(0o640)
    [last] = ids(file)
    said = rotate(kind, "next", file)
    assert [line.split(":")[0] for line in said] == ["in use", "believed"]
    last_name, coming_name = names_of(said)
    _, coming = ids(file)
    assert ids(file) == [last, coming]
    rotate(kind, "use", file, coming_name)
    assert ids(file) == [coming, last]
    rotate(kind, "drop", file, last_name)
    assert ids(file) == [coming]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_step_done_twice_does_nothing_else_than_once(kind: Kind, tmp_path: Path) -> None:
    make, ids = KINDS[kind]
    file = make(tmp_path)
    last_name, coming_name = names_of(rotate(kind, "next", file))
    with pytest.raises(
        RotationError, match=f"holds 2 keys \\(in use: {last_name}, believed: {coming_name}\\)"
    ):
        rotate(kind, "next", file)
    last, coming = ids(file)
    said = rotate(kind, "use", file, coming_name)
    written = file.stat().st_mtime_ns
    assert rotate(kind, "use", file, coming_name) == said
    assert ids(file) == [coming, last]
    assert file.stat().st_mtime_ns == written, "nothing is written anew"
    rotate(kind, "drop", file, last_name)
    with pytest.raises(RotationError, match=f"holds no key `{last_name}`, but in use: {coming_name}"):
        rotate(kind, "drop", file, last_name)
    rotate(kind, "use", file, coming_name)
    assert ids(file) == [coming]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_key_that_was_used_is_given_up_for_the_last_one(kind: Kind, tmp_path: Path) -> None:
    make, ids = KINDS[kind]
    file = make(tmp_path)
    [last] = ids(file)
    last_name, coming_name = names_of(rotate(kind, "next", file))
    rotate(kind, "use", file, coming_name)
    rotate(kind, "use", file, last_name)
    rotate(kind, "drop", file, coming_name)
    assert ids(file) == [last]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_step_out_of_turn_is_refused(kind: Kind, tmp_path: Path) -> None:
    make, ids = KINDS[kind]
    file = make(tmp_path)
    only, _ = names_of(rotate(kind, "next", file))
    before = ids(file)
    with pytest.raises(RotationError, match="is the key in use; allowed: one that is only believed"):
        rotate(kind, "drop", file, only)
    for step in ("use", "drop"):
        with pytest.raises(RotationError, match="holds no key `another`"):
            rotate(kind, step, file, "another")
        with pytest.raises(RotationError, match=f"`{step}` needs a key's name"):
            rotate(kind, step, file)
    with pytest.raises(RotationError, match="`next` takes no key's name"):
        rotate(kind, "next", file, only)
    assert ids(file) == before


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("text", [None, "", "nothing of the kind\n", "-----BEGIN X-----\n-----END X-----\n"])
def test_what_holds_no_such_key_is_named_and_left_alone(kind: Kind, text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text, encoding="ascii")
        file.with_suffix(".key").write_text(text, encoding="ascii")
    with pytest.raises(RotationError, match=r"ca\.pem"):
        rotate(kind, "next", file)
    assert text is None or file.read_text(encoding="ascii") == text


def test_an_authority_of_which_one_file_cannot_be_written_keeps_both(tmp_path: Path) -> None:
    file = authority_file(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in ("ca.pem", "ca.key")]
    (tmp_path / ".ca.key.unfinished").mkdir()  # in the way of the second file
    with pytest.raises(RotationError, match="cannot be written"):
        rotate("authority", "next", file)
    assert [(tmp_path / name).read_bytes() for name in ("ca.pem", "ca.key")] == before
    (tmp_path / ".ca.key.unfinished").rmdir()
    assert {file.name for file in tmp_path.iterdir()} == {"ca.pem", "ca.key"}
    assert len(rotate("authority", "next", file)) == 2


def test_a_file_keeps_its_permissions_whatever_the_umask(tmp_path: Path) -> None:
    file = authority_file(tmp_path)
    file.chmod(0o644)
    (tmp_path / "ca.key").chmod(0o600)
    before = os.umask(0o077)
    try:
        rotate("authority", "next", file)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ca.pem", "ca.key")] == [0o644, 0o600]


def test_an_authority_whose_keys_lie_otherwise_is_refused(tmp_path: Path) -> None:
    file = authority_file(tmp_path)
    _, coming_name = names_of(rotate("authority", "next", file))
    key = tmp_path / "ca.key"
    first, second = key.read_text(encoding="ascii").split("-----END PRIVATE KEY-----\n")[:2]
    end = "-----END PRIVATE KEY-----\n"
    key.write_text(second + end + first + end, encoding="ascii")
    with pytest.raises(RotationError, match="are not in one order"):
        rotate("authority", "use", file, coming_name)


def test_the_command_says_what_holds_and_never_a_key(tmp_path: Path) -> None:
    file = source_file(tmp_path)
    done = CliRunner().invoke(app, ["rotate", "source-key", "next", str(file)])
    assert done.exit_code == 0, done.output
    [last, coming] = source_ids(file)
    lines = done.output.splitlines()
    assert [line.split(", ")[0] for line in lines] == [f"in use: {last}", f"believed: {coming}"]
    for secret in file.read_text(encoding="ascii").split():
        assert secret not in done.output
    done = CliRunner().invoke(app, ["rotate", "source-key", "use", str(file), coming])
    assert done.exit_code == 0, done.output
    assert source_ids(file) == [coming, last]


def test_a_name_that_begins_like_an_option_is_a_name(tmp_path: Path) -> None:
    file = ticket_file(tmp_path)
    rotate("ticket-key", "next", file)
    done = CliRunner().invoke(app, ["rotate", "ticket-key", "use", str(file), "-pfUq6rZ"])  # 1 in 64 does
    assert isinstance(done.exception, RotationError)
    assert "holds no key `-pfUq6rZ`" in str(done.exception)


def test_the_containers_get_what_each_step_needs(tmp_path: Path) -> None:
    originals = tmp_path / "originals"
    make_stack_secrets(tmp_path, PLAN)

    keys: dict[Step, str] = {}  # that the steps after `next` name

    def step(kind: Kind, name: Step, file: str) -> list[str]:
        said = rotate(kind, name, originals / file, keys.pop(name, None))
        if name == "next":
            keys["drop"], keys["use"] = names_of(said)
        return make_stack_secrets(tmp_path, PLAN)

    pool = "ingest/feedgate_ingest_pool_private_key"
    assert step("ticket-key", "next", "ticket.pem") == ["access-policy/ticket.pem"]
    assert step("ticket-key", "use", "ticket.pem") == ["access-policy/ticket.pem"]
    assert step("ticket-key", "drop", "ticket.pem") == ["access-policy/ticket.pem"]

    assert step("source-key", "next", "pool-site") == [pool], "registry seals to the last one still"
    assert step("source-key", "use", "pool-site") == ["registry/pools.yaml", pool]
    in_use = load_pools(tmp_path / "registry/pools.yaml")["site"].key_id
    assert in_use == source_ids(tmp_path / pool)[0]
    assert step("source-key", "drop", "pool-site") == [pool]

    changed = step("authority", "next", "ca.pem")
    assert {Path(name).name for name in changed} == {"ca.pem"}, "no certificate is made anew yet"
    changed = step("authority", "use", "ca.pem")
    assert "gateway/tls.pem" in changed
    gateway = x509.load_pem_x509_certificates((tmp_path / "gateway/tls.pem").read_bytes())[0]
    coming, last = x509.load_pem_x509_certificates((tmp_path / "relay/ca.pem").read_bytes())
    gateway.verify_directly_issued_by(coming)
    assert last != coming
    changed = step("authority", "drop", "ca.pem")
    assert {Path(name).name for name in changed} == {"ca.pem"}
    assert make_stack_secrets(tmp_path, PLAN) == []
