"""The keys, passwords and certificates of a deployment of containers, made once and handed out.

Originals lie in the folder `originals`, which nobody but this mounts. Each container has a folder of its
own with copies of what it needs and no more. Making them again keeps every original, so it may run before
each start; an original that was removed is made anew, and every container that shares it gets the new one.
"""

import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import yaml

from feedgate.authority import Authority, Pair
from feedgate.private_file import write
from feedgate.rotation import new_source_key
from feedgate.signing_key import new_signing_key
from feedgate_kit.errors import FeedgateError
from feedgate_kit.pem import pem_blocks
from feedgate_kit.sealing import public_key_text, read_private_keys

ORIGINALS: Final = "originals"

OWNERS: Final[Mapping[str, int]] = {
    "registry": 10001,
    "access-policy": 10001,
    "audit": 10001,
    "ingest": 10001,
    "relay": 10001,
    "jobs": 10001,
    "story": 10001,
    "page": 10001,
    "gateway": 101,
    "kafka": 1000,
    "keycloak": 1000,
    "postgres": 999,
    "prometheus": 65534,
    "grafana": 472,
}
"""Each container's folder, and the number its process runs as in the image that docker-compose.yml names."""

SERVICES: Final = ("registry", "access-policy", "audit", "ingest", "relay")
WITH_DATABASE: Final = ("registry", "access-policy", "audit")
CALLERS: Final = ("ingest", "relay")
"""They have tokens of their own."""
INSTANCES: Final[Mapping[str, Sequence[str]]] = {
    service: tuple(f"{service}-{number}" for number in range(1, 10)) for service in CALLERS
}
"""The containers of a service that may have more than one: up to nine, though the stack starts two."""


class StackSecretsError(FeedgateError):
    """What a deployment needs cannot be made; says which file or folder is in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the containers find each other, and whom they believe."""

    origin: str
    """What browsers see."""
    issuers: Path
    """YAML list of issuers, `${PUBLIC_ORIGIN}` where Keycloak's address belongs."""
    agencies: Path
    """YAML list of agencies, the same."""
    pool: str = "site"
    allowed_networks: Sequence[str] = ()
    """Where the pool's cameras may be; none means public addresses only."""
    postgres: str = "postgres:5432"
    kafka: str = "kafka"
    further_hosts: Sequence[str] = ()
    """Names or addresses besides, at which every container answers."""

    @property
    def host(self) -> str:
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True, slots=True)
class Originals:
    """What must stay the same from start to start, each made when it is first asked for."""

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def text(self, name: str, make: Callable[[], str]) -> str:
        """The original of that name."""
        file = self.folder / name
        if file.exists():
            return file.read_text(encoding="utf-8")
        text = make()
        write(file, text, 0o600)
        return text

    def password(self, name: str) -> str:
        """A password, or a key that is nothing but randomness: 256 bits, safe in URLs and shells."""
        return self.text(name, lambda: secrets.token_urlsafe(32))

    def authority(self) -> Authority:
        """The deployment's own; while it is replaced, the one of two that is in use."""
        certificate, key = self.folder / "ca.pem", self.folder / "ca.key"
        if not (certificate.exists() and key.exists()):
            pair = Authority.make(self.now).pair
            write(key, pair.key, 0o600)
            write(certificate, pair.certificate, 0o600)
        certificates, keys = (pem_blocks(each.read_text(encoding="utf-8")) for each in (certificate, key))
        return Authority(Pair(certificates[0], keys[0]))

    def authorities(self) -> str:
        """The certificates of all that are to be believed."""
        self.authority()
        return (self.folder / "ca.pem").read_text(encoding="utf-8")

    def certificate(self, name: str, hosts: Sequence[str]) -> Pair:
        """A server's, made anew when its hosts or the authority change or its end is near.

        One of another authority was put there by the operator, who alone renews it: its key is never lost to us.
        """
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if certificate.exists() and key.exists():
            pair = Pair(certificate.read_text(encoding="utf-8"), key.read_text(encoding="utf-8"))
            if not pair.is_private:
                return pair
            if pair.serves(hosts, self.now) and pair.issued_by(self.authority().pair):
                return pair
        pair = self.authority().issue(name, hosts, self.now)
        write(key, pair.key, 0o600)
        write(certificate, pair.certificate, 0o600)
        return pair


def make_stack_secrets(folder: Path, plan: Plan) -> list[str]:
    """Make what is missing and hand everything out; a line per file that is new or was changed.

    Raises:
        StackSecretsError: a file of the plan cannot be read, or a folder not written.
    """
    try:
        originals = Originals(_folder(folder / ORIGINALS, None))
        return [
            f"{container}/{name}"
            for container in OWNERS
            for name, text in _contents(container, plan, originals)
            if _hand_out(_folder(folder / container, OWNERS[container]) / name, text, OWNERS[container])
        ]
    except OSError as error:
        raise StackSecretsError(f"`{error.filename}`: {error.strerror}") from error


def _contents(container: str, plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    """The files of one container: their names and what they hold."""
    yield "ca.pem", originals.authorities()
    if container in SERVICES:
        yield from _of_service(container, plan, originals)
    else:
        yield from _OTHERS[container](plan, originals)


def _of_service(service: str, plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    setting = f"feedgate_{service.replace('-', '_')}_"
    yield f"{setting}kafka_password", originals.password(f"kafka-{service}")
    instances = INSTANCES.get(service, (service,))
    names = [name for instance in instances for name in (instance, f"{instance}.inside")]
    inside = originals.certificate(service, (*names, *plan.further_hosts))
    yield "internal.pem", inside.certificate
    yield "internal.key", inside.key
    if service in WITH_DATABASE:
        yield f"{setting}database_url", _database_url(plan, originals, service, _role(service))
    if service in CALLERS:
        yield f"{setting}client_secret", originals.password(f"client-{service}")
    if service in {"registry", "audit"}:
        yield f"{setting}owner_hash_key", originals.password("owner-hash-key")
    if service != "ingest":
        yield "issuers.yaml", _filled(plan.issuers, plan)
    if service in {"registry", "access-policy"}:
        yield "agencies.yaml", _filled(plan.agencies, plan)
    if service == "registry":
        yield "pools.yaml", _pools(plan, originals)
    if service == "access-policy":
        yield f"{setting}operator_pseudonym_key", originals.password("operator-pseudonym-key")
        yield "ticket.pem", originals.text("ticket.pem", new_signing_key)
    if service == "ingest":
        yield f"{setting}pool_private_key", originals.text(f"pool-{plan.pool}", new_source_key)


def _of_jobs(plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    yield "kafka-admin", originals.password("kafka-admin")
    yield "agencies.yaml", _filled(plan.agencies, plan)
    for service in SERVICES:
        yield f"kafka/{service}", originals.password(f"kafka-{service}")
    for service in WITH_DATABASE:
        yield f"database/{service}", _database_url(plan, originals, service, f"{_role(service)}_owner")


def _of_gateway(plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    pair = originals.certificate("gateway", (plan.host, *plan.further_hosts))
    yield "tls.pem", pair.certificate
    yield "tls.key", pair.key


def _of_kafka(plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    pair = originals.certificate("kafka", tuple(dict.fromkeys((plan.kafka, plan.host, *plan.further_hosts))))
    yield "node.pem", pair.key + pair.certificate
    yield "admin", originals.password("kafka-admin")
    yield "cluster-id", originals.text("kafka-cluster-id", _cluster_id)


def _of_postgres(plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    pair = originals.certificate("postgres", (_host_of(plan.postgres), *plan.further_hosts))
    yield "tls.pem", pair.certificate
    yield "tls.key", pair.key
    yield "superuser", originals.password("postgres-superuser")
    for service in WITH_DATABASE:
        for role in (_role(service), f"{_role(service)}_owner"):
            yield f"roles/{role}", originals.password(f"postgres-{role}")


def _of_keycloak(_: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    yield "admin_password", originals.password("keycloak-admin")
    yield "first_password", originals.password("keycloak-first-password")
    yield "demo_password", originals.password("keycloak-demo-password")
    yield "agency_system_client_secret", originals.password("client-agency-system")
    for service in CALLERS:
        yield f"{service}_client_secret", originals.password(f"client-{service}")


def _of_story(plan: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    """Whom the demo's story plays; their tokens are had by the demo realms' password grant alone."""
    agency = yaml.safe_load(_filled(plan.agencies, plan))[0]
    owners = next(
        issuer["issuer"]
        for issuer in yaml.safe_load(_filled(plan.issuers, plan))
        if issuer["realm"] == "owners"
    )
    password = originals.password("keycloak-demo-password")
    cast = {
        name: {
            "token_url": f"{issuer}/protocol/openid-connect/token",
            "form": {
                "grant_type": "password",
                "client_id": "feedgate-demo",
                "username": name,
                "password": password,
            },
        }
        for name, issuer in (
            ("owner", owners),
            ("operator", agency["issuer"]),
            ("supervisor", agency["issuer"]),
        )
    }
    cast["agency-system"] = {
        "token_url": f"{agency['issuer']}/protocol/openid-connect/token",
        "form": {
            "grant_type": "client_credentials",
            "client_id": "agency-system",
            "client_secret": originals.password("client-agency-system"),
        },
    }
    yield "cast.yaml", yaml.safe_dump(cast, sort_keys=False)


def _of_page(plan: Plan, _: Originals) -> Iterator[tuple[str, str]]:
    yield "issuers.yaml", _filled(plan.issuers, plan)


def _of_grafana(_: Plan, originals: Originals) -> Iterator[tuple[str, str]]:
    yield "admin-password", originals.password("grafana-admin")


def _of_prometheus(_: Plan, __: Originals) -> Iterator[tuple[str, str]]:
    yield from ()


_OTHERS: Final[Mapping[str, Callable[[Plan, Originals], Iterator[tuple[str, str]]]]] = {
    "jobs": _of_jobs,
    "gateway": _of_gateway,
    "kafka": _of_kafka,
    "postgres": _of_postgres,
    "keycloak": _of_keycloak,
    "story": _of_story,
    "page": _of_page,
    "grafana": _of_grafana,
    "prometheus": _of_prometheus,
}


def _filled(file: Path, plan: Plan) -> str:
    return Template(file.read_text(encoding="utf-8")).safe_substitute(PUBLIC_ORIGIN=plan.origin)


def _database_url(plan: Plan, originals: Originals, service: str, role: str) -> str:
    password = originals.password(f"postgres-{role}")
    return f"postgresql+asyncpg://{role}:{password}@{plan.postgres}/{_role(service)}?ssl=verify-full"


def _role(service: str) -> str:
    """A service's running role and its database."""
    return service.replace("-", "_")


def _host_of(address: str) -> str:
    return urlsplit(f"//{address}").hostname or ""


def _pools(plan: Plan, originals: Originals) -> str:
    keys = read_private_keys(originals.text(f"pool-{plan.pool}", new_source_key))
    key_id, in_use = next(iter(keys.items()))
    pool = {
        "name": plan.pool,
        "key_id": key_id,
        "public_key": public_key_text(in_use.public_key()),
        "allowed_networks": list(plan.allowed_networks),
    }
    return yaml.safe_dump([pool], sort_keys=False)


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()  # as Kafka writes them


def _hand_out(file: Path, text: str, owner: int) -> bool:
    """Whether the file was not like this before."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    _folder(file.parent, owner)
    write(file, text, 0o400, (owner, owner))
    return True


def _folder(folder: Path, owner: int | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner is not None and os.geteuid() == 0:
        os.chown(folder, owner, owner)
        folder.chmod(0o700)
    return folder
