"""The drills of docs/guide/operations-drills.md, command by command, under live views on both relays."""

import asyncio
import os
import shutil
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
import yaml

from feedgate_client import RefusedError, kafka_frame_events
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.sealing import read_private_keys
from feedgate_tools.demo.page_routes import StoryError
from feedgate_tools.demo.story import People, Shared, eventually
from feedgate_tools.simulator.process import Simulator
from tests.servers.certificates import CertificateAuthority
from tests.servers.deployment import AGENCY, KAFKA_PASSWORDS, POOL, Deployment, relay_id_of
from tests.servers.gateway import Gateway
from tests.servers.kafka import ADMIN, KafkaCluster
from tests.servers.machine import KAFKA_JARS, REPOSITORY
from tests.servers.needs import require
from tests.servers.postgres import PostgresServer
from tests.system.guide import blocks, sections
from tests.system.watch import TIMEOUT_S, Watch, now_us, watching

pytestmark = [
    pytest.mark.needs("kafka", "postgres"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600, func_only=True),
]

PROCESSES = {"registry": 2, "access-policy": 2, "relay": 2, "ingest": 2}
RELAYS = ("relay", "relay-2")
PAGE = "operations-drills.md"
COMMAND_TIMEOUT_S = 120.0
DARK_US = 5 * MICROSECONDS
NEVER_COVERED = {"gap", "expiring"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    require("kafka")
    cluster = KafkaCluster(tmp_path_factory.mktemp("cluster"))
    # One authority for Kafka and for the services' internal ports, as the stack of containers has it.
    put_pair(cluster.authority.issue("internal"), cluster.folder)
    (cluster.folder / "admin").write_text(cluster.admin_password, encoding="ascii")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(
    tmp_path_factory: pytest.TempPathFactory, cluster: KafkaCluster, postgres_server: PostgresServer
) -> AsyncIterator[Deployment]:
    async with Deployment(
        tmp_path_factory.mktemp("deployment"),
        kafka_bootstrap=cluster.bootstrap,
        secured=cluster,
        make_database=postgres_server.create_separated_database,
        processes=PROCESSES,
        certificates=cluster.folder,
    ) as deployed:
        yield deployed


@pytest_asyncio.fixture(loop_scope="module")
async def deployment(deployed: Deployment) -> AsyncIterator[Deployment]:
    yield deployed
    await deployed.restore()


@pytest_asyncio.fixture(loop_scope="module")
async def audience(deployment: Deployment, simulator: Simulator) -> AsyncIterator["Audience"]:
    async with deployment.people() as people:
        kept, withdrawn = [await share(people, simulator) for _ in range(2)]
        async with AsyncExitStack() as views:

            async def views_of(shared: Shared) -> dict[str, Watch]:
                return {
                    relay: await views.enter_async_context(
                        watching(deployment, people, shared.grant_id, relay=relay)
                    )
                    for relay in RELAYS
                }

            audience = Audience(
                deployment,
                people,
                simulator,
                kept,
                withdrawn,
                await views_of(kept),
                await views_of(withdrawn),
            )
            for watch in audience.watches:
                await watch.until_playing(5)
            audience.since_us = now_us()
            yield audience


@dataclass
class Audience:
    """Two cameras, each viewed at each relay. In the middle of every drill the owner of one withdraws."""

    deployment: Deployment
    people: People
    simulator: Simulator
    kept: Shared
    withdrawn: Shared
    of_kept: dict[str, Watch]
    of_withdrawn: dict[str, Watch]
    since_us: int = 0

    @property
    def watches(self) -> list[Watch]:
        return [*self.of_kept.values(), *self.of_withdrawn.values()]

    async def withdrawal_works(self, *restarted: str) -> None:
        """The owner's stop ends the views of that camera in time, and no picture comes after it.

        At relays that were restarted they ended before.
        """
        called_us = now_us()
        await self.people.withdraw(self.withdrawn.authorisation_id)
        for relay, watch in self.of_withdrawn.items():
            if relay in restarted:
                continue
            stopped = await watch.until_notice("stopped", called_us)
            assert stopped.received_at_us <= called_us + DARK_US
            await watch.until_ended()
            assert watch.pictures_between(stopped.received_at_us, now_us()) == 0

    async def went_on(self, *relays: str) -> None:
        """The views of the other camera, at these relays, show pictures and were never covered."""
        for relay in relays or RELAYS:
            await self.saw_all(self.of_kept[relay], self.since_us)

    async def saw_all(self, watch: Watch, since_us: int) -> None:
        """The view shows pictures, was never covered since, and no picture is missing untold."""
        await watch.until_playing(5)
        told = {(each.code, each.reason) for each in watch.notices if each.received_at_us >= since_us}
        assert {code for code, _ in told} <= NEVER_COVERED, told
        nothing_missing(watch)

    async def playing_again(self) -> None:
        """Where a camera was connected anew: pictures have come back, and the viewers were told."""
        for watch in self.of_kept.values():
            await watch.until_playing(5)
            nothing_missing(watch)

    async def opens(self, shared: Shared, *relays: str, ticket: dict[str, Any] | None = None) -> None:
        """A view opens at these relays and shows pictures."""
        for relay in relays or RELAYS:
            async with watching(self.deployment, self.people, shared.grant_id, ticket, relay) as watch:
                await watch.until_playing(3)

    async def replace(self, *names: str, environment: dict[str, str] | None = None) -> None:
        """Restart one process after the other, each as operations do, and wait until it is ready."""
        for name in names:
            await asyncio.to_thread(self.deployment.processes[name].end)
            self.deployment.start(name, environment)
            await self.deployment.until_ready(name)

    async def replace_publishers(self, service: str, environment: dict[str, str] | None = None) -> None:
        for name in self.deployment.names(service):
            await self.replace(name, environment=environment)
            await eventually(
                lambda: self.publishing(service),
                lambda active: active == 1,
                TIMEOUT_S,
                f"one {service} to publish",
            )

    async def publishing(self, service: str) -> int:
        metric = f"{service.replace('-', '_')}_publisher_active"
        return round(
            sum([await self.deployment.metric(name, metric) for name in self.deployment.names(service)])
        )


def nothing_missing(watch: Watch) -> None:
    """Where a number does not follow the one before, the picture itself or a notice has said so."""
    told = [each.received_at_us for each in watch.notices]
    seen = list(zip(watch.sequences, watch.pictures_at_us, watch.after_gap, strict=True))
    for (before, before_us, _), (after, after_us, says_so) in pairwise(seen):
        if after != before + 1 and not says_so:
            assert any(before_us <= at <= after_us for at in told), f"{before} is followed by {after}, untold"


class Operations:
    """Whoever follows the page: each section's commands, in their order."""

    def __init__(self, deployment: Deployment, cluster: KafkaCluster, folder: Path, section: str) -> None:
        self.folder = folder
        tool = folder / "kafka-configs.sh"
        tool.write_text(
            f'#!/bin/sh\nexec java -Xmx128m -cp "{KAFKA_JARS}/*" kafka.admin.ConfigCommand "$@"\n',
            encoding="ascii",
        )
        tool.chmod(0o755)
        found = blocks(sections(PAGE)[section])
        self.left = [block.text for block in found if (block.language, block.words) == ("sh", "")]
        assert self.left
        registry = deployment.databases["registry"]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"])),
            "KEYS": str(deployment.folder),
            "POOL": POOL,
            "FEEDGATE": str(REPOSITORY),
            "FEEDGATE_REGISTRY_DATABASE_URL": registry.running_url,
            "REGISTRY_OWNER": registry.owner_url,
            "REGISTRY_ROLE": registry.running_role,
            "PASSWORDS": str(deployment.folder / KAFKA_PASSWORDS),
            "AGENCIES": str(deployment.folder / "agencies.yaml"),
            "FEEDGATE_KAFKA_BOOTSTRAP": cluster.bootstrap,
            "FEEDGATE_KAFKA_CA_FILE": str(cluster.ca_file),
            "FEEDGATE_KAFKA_USERNAME": ADMIN,
            "FEEDGATE_KAFKA_PASSWORD": cluster.admin_password,
            "CERTIFICATES": str(cluster.folder),
            "KAFKA_INSIDE": cluster.bootstrap,
            "KAFKA_SECRETS": str(cluster.folder),
            "KAFKA_BIN": str(folder),
        }

    async def do(self) -> list[str]:
        """The section's next command; what it prints."""
        return await self.run(self.left.pop(0))

    def names_in(self, said: list[str]) -> list[str]:
        """The keys' names that `next` printed; the page's commands after it use them."""
        names = [line.partition(": ")[2].partition(",")[0] for line in said]
        self.environment |= dict(zip(("LAST_KEY", "NEW_KEY"), names, strict=True))
        return names

    async def run(self, command: str) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", command),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                said, complained = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"{command}\n{complained.decode()}"
        return said.decode().splitlines()


@pytest.fixture
def operations(
    request: pytest.FixtureRequest, deployed: Deployment, cluster: KafkaCluster, tmp_path: Path
) -> Iterator[Operations]:
    """Every command of the section that the test names is done by the end of it."""
    following = Operations(deployed, cluster, tmp_path, request.param)
    yield following
    assert not following.left


async def share(people: People, simulator: Simulator) -> Shared:
    return await people.open_share(await people.register_camera(simulator.rtsp_url()))


async def until_said(deployment: Deployment, name: str, *words: str) -> None:
    """Until a process, as it was started last, has logged a line with all these words."""

    async def lines() -> list[str]:
        return deployment.processes[name].words_since_start().splitlines()

    await eventually(
        lines,
        lambda said: any(all(word in line for word in words) for line in said),
        TIMEOUT_S,
        f"{name} to say {words}",
    )


def put_pair(issued: Path, folder: Path) -> str:
    """A certificate and its key in the two files that services are told of; the certificate."""
    key, begin, rest = issued.read_text(encoding="ascii").partition("-----BEGIN CERTIFICATE-----")
    issued.unlink()
    (folder / "internal.key").write_text(key, encoding="ascii")
    (folder / "internal.pem").write_text(begin + rest, encoding="ascii")
    return begin + rest


async def shown(port: int) -> str:
    """The certificate that a port shows to a new connection."""
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))


def signer(ticket: dict[str, Any]) -> str:
    """The key that signed it."""
    return str(jwt.get_unverified_header(ticket["ticket"])["kid"])


@pytest.mark.parametrize("operations", ["Ticket key"], indirect=True)
async def test_ticket_key(audience: Audience, operations: Operations) -> None:
    deployment, people, kept = audience.deployment, audience.people, audience.kept
    last, coming = operations.names_in(await operations.do())
    for relay in RELAYS:
        await until_said(deployment, relay, "ticket keys changed", last, coming)
    for_later = [await deployment.take_ticket(people, kept.grant_id) for _ in range(3)]
    assert {signer(ticket) for ticket in for_later} == {last}

    use = operations.left[0]
    assert await operations.do() == [f"in use: {coming}", f"believed: {last}"]
    assert await operations.run(use) == [f"in use: {coming}", f"believed: {last}"], "done again, it stays"
    # Both access-policies sign with it at once, and both relays take it, as they take the last one's.
    tickets = [await deployment.take_ticket(people, kept.grant_id) for _ in range(4)]
    assert {signer(ticket) for ticket in tickets} == {coming}
    for relay, ticket in zip(RELAYS * 2, [*tickets[:2], *for_later[:2]], strict=True):
        await audience.opens(kept, relay, ticket=ticket)
    await audience.withdrawal_works()

    assert await operations.do() == [f"in use: {coming}"]
    for relay in RELAYS:
        await until_said(deployment, relay, "ticket keys changed", f'["{coming}"]')
        with pytest.raises(RefusedError, match="ticket_invalid"):
            await audience.opens(kept, relay, ticket=for_later[2])
        await audience.opens(kept, relay)
    await audience.went_on()


@pytest.mark.parametrize("operations", ["Source key"], indirect=True)
async def test_source_key(
    audience: Audience, operations: Operations, postgres_server: PostgresServer
) -> None:
    deployment, people = audience.deployment, audience.people
    idle = await share(people, audience.simulator)
    database = deployment.databases["registry"].name

    def sealed_to() -> set[str]:
        return set(
            postgres_server.execute(
                "SELECT DISTINCT source_key_id FROM cameras WHERE sealed_source IS NOT NULL", database
            ).split()
        )

    pool_file = deployment.folder / "pool"
    last, coming = operations.names_in(await operations.do())
    assert list(read_private_keys(pool_file.read_text(encoding="ascii"))) == [last, coming]
    assert sealed_to() == {last}
    await audience.replace("ingest", "ingest-2")
    await audience.playing_again()

    [in_use, _] = await operations.do()
    key_id, public_key = in_use.removeprefix("in use: ").split(", public_key ")
    assert key_id == coming
    pools = deployment.folder / "pools.yaml"
    [pool] = yaml.safe_load(pools.read_text(encoding="utf-8"))
    pools.write_text(yaml.safe_dump([{**pool, "key_id": key_id, "public_key": public_key}]), encoding="utf-8")
    audience.since_us = now_us()
    await audience.replace_publishers("registry")
    for name in deployment.names("registry"):
        await until_said(deployment, name, "sources are sealed to", coming)
    new = await share(people, audience.simulator)
    assert sealed_to() == {last, coming}
    await audience.opens(new)
    await audience.withdrawal_works()

    [done] = await operations.do()
    assert int(done.removeprefix("sealed anew: ")) >= 3
    assert sealed_to() == {coming}
    await audience.went_on()
    keep = operations.left[0]
    await operations.do()
    kept = deployment.folder / f"pool.{last}"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert await operations.do() == ["sealed anew: 0", in_use]
    assert list(read_private_keys(pool_file.read_text(encoding="ascii"))) == [coming]
    await operations.run(keep)
    assert list(read_private_keys(kept.read_text(encoding="ascii"))) == [coming, last], "it stays as it was"
    assert await operations.do() == ["sealed anew: 0"]
    await audience.replace("ingest", "ingest-2")
    await audience.playing_again()
    for shared in (idle, new):
        await audience.opens(shared, RELAYS[0])
    entries = await eventually(
        lambda: people.read_ledger(idle.camera_id),
        lambda found: any(entry.get("event") == "source.resealed" for entry in found),
        TIMEOUT_S,
        "the owner's ledger to tell of it",
    )
    assert sum(entry.get("event") == "source.resealed" for entry in entries) == 1


@pytest.mark.parametrize("operations", ["Certificates"], indirect=True)
async def test_certificates(
    audience: Audience, operations: Operations, cluster: KafkaCluster, tmp_path: Path
) -> None:
    deployment, people = audience.deployment, audience.people
    ports = [port for _, port in deployment.ports.values()]
    kafka_ports = [cluster.brokers[0].port, *cluster.agencies_ports]

    async def shown_by_kafka() -> set[str]:
        return {await shown(port) for port in kafka_ports}

    next_folder = tmp_path / "next"
    next_folder.mkdir()
    coming = CertificateAuthority(next_folder, "next test authority")
    last = tmp_path / "last.pem"
    shutil.copy(cluster.ca_file, last)
    operations.environment |= {"LAST_AUTHORITY": str(last), "NEXT_AUTHORITY": str(coming.ca_file)}

    # One whose end is near, from the authority that the cluster has now, as every test before may have left it.
    new = tmp_path / "new"
    new.mkdir()
    operations.environment["NEW"] = str(new)
    wanted = put_pair(cluster.authority.issue("renewed"), new)
    replace_internal = operations.left[0]
    await operations.do()
    assert {await shown(port) for port in ports} == {wanted}

    await operations.do()  # both authorities are believed
    wanted = put_pair(coming.issue("internal"), new)
    await operations.run(replace_internal)
    assert {await shown(port) for port in ports} == {wanted}
    before = await shown_by_kafka()
    shutil.move(coming.issue("node"), cluster.folder / "node.pem")
    assert await shown_by_kafka() == before, "Kafka keeps what it read"
    await operations.do()  # it reads it again
    node = (cluster.folder / "node.pem").read_text(encoding="ascii")
    anew = node[node.index("-----BEGIN CERTIFICATE-----") :]
    await eventually(
        shown_by_kafka, lambda seen: seen == {anew}, TIMEOUT_S, "Kafka's new certificate for everybody"
    )
    await audience.withdrawal_works()

    await operations.do()  # the last authority is believed no more
    # Everybody connects anew to everybody: relays for keys, ingest to registry and its camera, a service to Kafka.
    operations.names_in(await operations.run('feedgate rotate ticket-key next "$KEYS/ticket.pem"'))
    for relay in RELAYS:
        await until_said(deployment, relay, "ticket keys changed")
    await operations.run('feedgate rotate ticket-key drop "$KEYS/ticket.pem" "$NEW_KEY"')
    await audience.replace("audit")
    await audience.opens(await share(people, audience.simulator))
    await audience.went_on()


@pytest.mark.needs("nginx")
async def test_the_gateways_certificate(
    deployment: Deployment, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page says of nginx: SIGHUP shows the new one to new connections and leaves open views alone."""
    relays = {f"{relay_id_of(name)}.public": deployment.address(name) for name in RELAYS}
    gateway = Gateway(tmp_path, relays, list(relays))
    monkeypatch.setenv("SSL_CERT_FILE", str(gateway.ca_file))
    gateway.start()
    try:
        async with deployment.people() as people:
            shared = await share(people, simulator)
            async with watching(deployment, people, shared.grant_id, origin=gateway.origin) as watch:
                await watch.until_playing(5)
                told, seen = len(watch.notices), len(watch.sequences)
                before = await shown(gateway.port)
                wanted = gateway.replace_certificate()
                assert await shown(gateway.port) == before, "nginx keeps what it read"
                gateway.reload()
                await eventually(
                    lambda: shown(gateway.port),
                    lambda found: found == wanted,
                    TIMEOUT_S,
                    "the new certificate",
                )
                async with watching(deployment, people, shared.grant_id, origin=gateway.origin) as another:
                    await another.until_playing(3)
                await watch.until_playing()  # by the sockets it has: a view opens no others by itself
                assert watch.codes[told:] == []
                since = watch.sequences[seen - 1 :]
                assert since == list(range(since[0], since[0] + len(since))), "a picture is missing"
    finally:
        gateway.end()


@pytest.mark.parametrize("operations", ["Kafka passwords"], indirect=True)
async def test_kafka_passwords(audience: Audience, operations: Operations, cluster: KafkaCluster) -> None:
    deployment = audience.deployment
    user = f"agency-{AGENCY}"
    async with agency(deployment, cluster, audience.kept) as case_system:
        await case_system.until_more(2)
        said = await operations.do()
        assert said == [f"user {name}: has the password in its file now" for name in ("relay", user)]
        await case_system.until_more(2)  # its connection is open
        await audience.went_on()
        await audience.replace(RELAYS[1])
        ended = audience.of_kept[RELAYS[1]]
        await ended.until_ended()
        assert (ended.notices[-1].code, ended.notices[-1].reason) == ("view_ended", "relay_stopping")
        await audience.went_on(RELAYS[0])
        await audience.opens(audience.kept, RELAYS[1])
        await audience.withdrawal_works(RELAYS[1])
        async with watching(deployment, audience.people, audience.kept.grant_id, relay=RELAYS[1]) as again:
            await again.until_playing(3)
            since_us = now_us()
            await audience.replace(RELAYS[0])
            await audience.saw_all(again, since_us)
            await case_system.until_more(2)
            seen = {*ended.sequences, *audience.of_kept[RELAYS[0]].sequences, *again.sequences}
    async with agency(deployment, cluster, audience.kept, case_system.told) as case_system:
        # With the new password, in the same group: of nothing that anybody saw it is not told.
        async with watching(deployment, audience.people, audience.kept.grant_id, relay=RELAYS[0]) as last:
            await last.until_playing(3)
            seen.update(last.sequences)
        await case_system.until_told_of(seen)


@dataclass
class CaseSystem:
    """An agency's system, which reads what was shown under a grant."""

    grant_id: str
    told: set[int]  # the pictures' numbers
    groups: int = 0

    async def until_more(self, groups: int) -> None:
        """Until it was told of so many more groups of pictures."""
        wanted = self.groups + groups

        async def told() -> int:
            return self.groups

        await eventually(told, lambda seen: seen >= wanted, TIMEOUT_S, f"{groups} groups of pictures")

    async def until_told_of(self, seen: set[int]) -> None:
        async def missing() -> list[int]:
            return sorted(seen - self.told)

        with suppress(StoryError):
            await eventually(missing, lambda left: not left, TIMEOUT_S, "every picture that was seen")
        assert await missing() == []

    async def read(self, deployment: Deployment, cluster: KafkaCluster) -> None:
        user = f"agency-{AGENCY}"
        options = deployment.kafka_user(user).client_options()
        where = f"127.0.0.1:{cluster.agencies_ports[0]}"
        async for event in kafka_frame_events(where, AGENCY, user, **options):
            if event.grant_id == self.grant_id and event.HasField("group_of_pictures"):
                self.told.update(picture.sequence for picture in event.group_of_pictures.pictures)
                self.groups += 1


@asynccontextmanager
async def agency(
    deployment: Deployment,
    cluster: KafkaCluster,
    shared: Shared,
    told: set[int] | None = None,
) -> AsyncIterator[CaseSystem]:
    system = CaseSystem(shared.grant_id, told or set())
    reading = asyncio.create_task(system.read(deployment, cluster))
    try:
        yield system
        assert not reading.done(), reading.exception()
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


LATER_REVISION = '''\
"""Cameras may have a note (expand)."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"
oldest = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cameras", sa.Column("note", sa.String(200), nullable=True))
'''


def later_version(folder: Path) -> dict[str, str]:
    """The environment of a registry whose code reads and writes a column that this version's does not know."""
    package = folder / "later" / "feedgate_registry"
    shutil.copytree(REPOSITORY / "services/registry/src/feedgate_registry", package)

    def change(file: str, before: str, after: str) -> None:
        path = package / file
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, 1), encoding="utf-8")

    sealed = 'Column("sealed_source", LargeBinary, nullable=True)'
    change("tables.py", sealed, f'Column("note", String(200)), {sealed}')
    removed = "    removed_at_us: int | None = None\n"
    change("camera.py", removed, f'{removed}    note: str | None = "new"\n')
    head = max(file.name[:4] for file in (package / "migrations/versions").glob("0*.py"))
    later = package / "migrations/versions/9001_note.py"
    later.write_text(LATER_REVISION.format(head=head), encoding="utf-8")
    return {"PYTHONPATH": str(package.parent)}


@pytest.mark.parametrize("operations", ["Upgrade with a new schema"], indirect=True)
async def test_upgrade_with_a_new_schema(
    audience: Audience, operations: Operations, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    deployment, people, kept = audience.deployment, audience.people, audience.kept
    later = later_version(tmp_path)
    database = deployment.databases["registry"]

    async def until_waiting(name: str) -> None:
        async with deployment.inside(name) as http:

            async def waits_for() -> str:
                return (await http.get("/readyz")).text

            await eventually(
                waits_for,
                lambda text: "the database at this version's revision" in text,
                TIMEOUT_S,
                f"{name} to wait for its revision",
            )

    # The new version alone does not help: it waits for its tables, and the old one goes on.
    await asyncio.to_thread(deployment.processes["registry-2"].end)
    deployment.start("registry-2", later)
    await deployment.until_alive("registry-2")
    await until_waiting("registry-2")
    await deployment.until_ready("registry")

    operations.environment |= later
    await operations.do()
    await deployment.until_ready("registry-2")
    await deployment.until_ready("registry")

    # Side by side: either takes any owner's act, and reads what the other wrote.
    async with (
        deployment.people(registry="registry") as at_old,
        deployment.people(registry="registry-2") as at_new,
    ):
        cameras = {}
        for name, those in (("old", at_old), ("new", at_new)):
            cameras[name] = await those.register_camera(audience.simulator.rtsp_url())
        for camera_id, those in ((cameras["old"], at_new), (cameras["new"], at_old)):
            shared = await those.open_share(camera_id)
            await audience.opens(shared, RELAYS[0])
        notes = dict(
            line.split("|")
            for line in postgres_server.execute(
                "SELECT camera_id, note FROM cameras", database.name
            ).splitlines()
        )
        assert notes[cameras["new"]] == "new", "the old version's act on it left it as it was"
        assert notes[cameras["old"]] == ""

        # The old version starts again on the new one's tables; the publisher's lock goes to and fro.
        await audience.replace("registry")
        await audience.went_on()
        called_us = now_us()
        await at_old.call(people.cast.owner, "POST", f"/registry/v1/cameras/{kept.camera_id}/pause")
        for watch in audience.of_kept.values():
            await watch.until_notice("paused_by_owner", called_us)
        await at_new.call(people.cast.owner, "POST", f"/registry/v1/cameras/{kept.camera_id}/resume")
        await audience.playing_again()
    audience.since_us = now_us()
    await audience.withdrawal_works()
    await audience.replace_publishers("registry", later)
    await audience.went_on()

    # The next version but one takes something away: who cannot run without it does not start.
    contracted = "UPDATE schema_compatibility SET oldest_revision = '9001'"
    postgres_server.execute(contracted, database.name)
    await asyncio.to_thread(deployment.processes["registry-2"].end)
    deployment.start("registry-2")
    refused = deployment.processes["registry-2"]
    assert await asyncio.to_thread(refused.wait, TIMEOUT_S) == 2
    assert "the database is at revision `9001`, which feedgate_registry does not know" in refused.last_words(
        1
    )
    await audience.went_on()
    postgres_server.execute(contracted.replace("9001", "0001"), database.name)
