"""Users and rights in a Kafka that is locked down: who may do what, tried by everybody on everything."""

import asyncio
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    TopicAuthorizationFailedError,
    for_code,
)
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from feedgate_kit.bus.kafka_login import KafkaLoginError, log_in
from feedgate_kit.bus.kafka_settings import KafkaSecurity
from feedgate_kit.bus.kafka_topics import open_admin
from feedgate_kit.topics import expand, load_topics
from tests.servers.kafka import ADMIN, KafkaCluster
from tests.system.one_box import FEEDGATE

RUN_TIMEOUT_S = 90.0
WAIT_S = 10.0
AGENCY, OTHER = "metro-police", "metro-police-2"  # the one's name begins with the other's

# Written down here by hand, not derived from the topic files: a wrong file is seen.
# r: read, w: write, s: see settings, e: erase records. Whoever is not named may do nothing.
MATRIX: Final[dict[str, dict[str, str]]] = {
    "registry.camera.state.v1": {"registry": "rws", "access-policy": "rs", "ingest": "rs", "relay": "rs"},
    "access-policy.grant.state.v1": {"access-policy": "rws", "relay": "rs"},
    "ingest.feed.state.v1": {"ingest": "rws", "registry": "rs", "relay": "rs"},
    "ingest.access-unit.media.v1": {"ingest": "wse", "relay": "rs"},
    "relay.demand.events.v1": {"relay": "ws", "ingest": "rs"},
    "relay.demand.events.v1.dlq": {"ingest": "ws"},
    "relay.ticket.events.v1": {"relay": "rws"},
    "relay.ticket.events.v1.dlq": {"relay": "ws"},
    "relay.frame.events.v1.metro-police": {"relay": "rws", "agency-metro-police": "r"},
    "relay.frame.events.v1.metro-police-2": {"relay": "rws", "agency-metro-police-2": "r"},
    "registry.audit.events.v1": {"registry": "ws", "audit": "rs"},
    "registry.audit.events.v1.dlq": {"audit": "ws"},
    "access-policy.audit.events.v1": {"access-policy": "ws", "audit": "rs"},
    "access-policy.audit.events.v1.dlq": {"audit": "ws"},
    "access-policy.decision.events.v1": {"access-policy": "ws", "audit": "rs"},
    "access-policy.decision.events.v1.dlq": {"audit": "ws"},
    "relay.audit.events.v1": {"relay": "ws", "audit": "rs"},
    "relay.audit.events.v1.dlq": {"audit": "ws"},
}
GROUPS: Final[dict[str, set[str]]] = {
    "registry": set(),
    "access-policy": set(),
    "relay": set(),
    "ingest": {"ingest", "ingest-site"},
    "audit": {"audit", "audit-replay"},
    "agency-metro-police": {"agency-metro-police", "agency-metro-police.cases"},
    "agency-metro-police-2": {"agency-metro-police-2", "agency-metro-police-2.cases"},
}
USERS: Final = list(GROUPS)


class Operations:
    """Whoever runs `feedgate topics apply`."""

    def __init__(self, cluster: KafkaCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.passwords = folder / "passwords"

    def apply(self, agencies: Sequence[str], **environment: str) -> tuple[int, list[str], str]:
        file = self.folder / "agencies.yaml"
        entries = [
            {"id": name, "name": name, "jurisdiction": "AR", "issuer": f"https://{name}.example.org"}
            for name in agencies
        ]
        file.write_text(yaml.safe_dump(entries), encoding="utf-8")
        given = {
            "FEEDGATE_KAFKA_BOOTSTRAP": self.cluster.bootstrap,
            "FEEDGATE_KAFKA_CA_FILE": str(self.cluster.ca_file),
            "FEEDGATE_KAFKA_USERNAME": ADMIN,
            "FEEDGATE_KAFKA_PASSWORD": self.cluster.admin_password,
        }
        command: list[str | Path] = [
            FEEDGATE,
            "topics",
            "apply",
            "--agencies-file",
            file,
            "--passwords",
            self.passwords,
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
            env={**os.environ, **given, **environment},
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    def password(self, user: str) -> str:
        return (self.passwords / user).read_text(encoding="utf-8").strip()

    def security(self, user: str) -> KafkaSecurity:
        return self.cluster.security(user, self.password(user))


@pytest.fixture(scope="module")
def operations(secured_kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Operations:
    """Has applied once, for two agencies."""
    made = Operations(secured_kafka, tmp_path_factory.mktemp("operations"))
    status, _, errors = made.apply([AGENCY, OTHER])
    assert (status, errors) == (0, "")
    return made


async def test_the_passwords_are_files_for_their_owner_alone(operations: Operations) -> None:
    kept = {file.name: stat.S_IMODE(file.stat().st_mode) for file in operations.passwords.iterdir()}
    assert kept == dict.fromkeys(USERS, 0o600)
    assert stat.S_IMODE(operations.passwords.stat().st_mode) == 0o700
    assert len({operations.password(user) for user in USERS}) == len(USERS)


def test_doing_it_again_changes_nothing_and_no_password_is_printed(operations: Operations) -> None:
    assert operations.apply([AGENCY, OTHER]) == (0, ["nothing to change"], "")


async def test_an_agency_that_leaves_loses_its_user_and_its_rights(operations: Operations) -> None:
    status, said, errors = operations.apply([AGENCY, OTHER, "guest"])
    assert (status, errors) == (0, "")
    assert said[-1] == "user agency-guest: made"
    assert "agency-guest: may read topic relay.frame.events.v1.guest" in said
    password = operations.password("agency-guest")
    assert password not in "\n".join(said)
    security = operations.cluster.security("agency-guest", password)
    async with open_admin(operations.cluster.bootstrap, WAIT_S, security) as guest:

        async def sees_its_topic() -> bool:
            (described,) = await guest.describe_topics(["relay.frame.events.v1.guest"])
            return not described["error_code"]

        assert await sees_its_topic()  # and stays connected, as a case system would
        status, said, errors = operations.apply([AGENCY, OTHER])
        assert (status, errors) == (0, "")
        assert said == [
            "user agency-guest: removed",
            "agency-guest: may no longer read group agency-guest",
            "agency-guest: may no longer read group agency-guest.*",
            "agency-guest: may no longer read topic relay.frame.events.v1.guest",
            "relay: may no longer describe_configs topic relay.frame.events.v1.guest",
            "relay: may no longer read topic relay.frame.events.v1.guest",
            "relay: may no longer write topic relay.frame.events.v1.guest",
        ]
        assert not await sees_its_topic()
    assert not (operations.passwords / "agency-guest").exists()
    with pytest.raises(KafkaLoginError, match="does not let the user `agency-guest` in"):
        await log_in(operations.cluster.bootstrap, security)


async def test_a_password_that_was_changed_in_its_file_is_made_known(operations: Operations) -> None:
    before = operations.security("audit")
    (operations.passwords / "audit").write_text("another, for audit\n", encoding="utf-8")
    assert operations.apply([AGENCY, OTHER]) == (0, ["user audit: has the password in its file now"], "")
    await log_in(operations.cluster.bootstrap, operations.security("audit"))
    with pytest.raises(KafkaLoginError):
        await log_in(operations.cluster.bootstrap, before)


def test_a_right_that_no_file_gives_is_removed_and_others_are_left_alone(operations: Operations) -> None:
    client = admin_client(operations.cluster, operations.cluster.administrator)
    given = [
        rule("User:ingest", "registry.audit.events.v1"),
        rule("User:console", "registry.audit.events.v1"),
        rule("User:agency-metro-police", "relay.frame.events.v1.metro-police-2", AclPermissionType.DENY),
    ]
    for answer in client.create_acls(given).values():
        answer.result(WAIT_S)
    status, said, errors = operations.apply([AGENCY, OTHER])
    assert (status, errors) == (0, "")
    assert said == ["ingest: may no longer read topic registry.audit.events.v1"]
    left = [binding for binding in given if client.describe_acls(filter_of(binding)).result(WAIT_S)]
    assert left == given[1:]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param(
            {"FEEDGATE_KAFKA_PASSWORD": "wrong"}, "does not let the user `admin` in", id="wrong password"
        ),
        pytest.param(
            {"FEEDGATE_KAFKA_PASSWORD": ""},
            "Kafka's administrator is half given: --password-file or FEEDGATE_KAFKA_PASSWORD is missing",
            id="no password",
        ),
        pytest.param(
            {"FEEDGATE_KAFKA_CA_FILE": "no-such-file"}, "saw `no-such-file` (No such file", id="no CA file"
        ),
    ],
)
def test_an_administrator_who_is_none_is_one_line(
    operations: Operations, environment: dict[str, str], says: str
) -> None:
    status, said, errors = operations.apply([AGENCY, OTHER], **environment)
    assert (status, said) == (2, [])
    assert errors.startswith("feedgate: ")
    assert says in errors
    assert errors.count("\n") == 1


class Somebody:
    """One user's clients."""

    def __init__(self, bootstrap: str, security: KafkaSecurity, *, idempotent: bool) -> None:
        options = {
            "bootstrap_servers": bootstrap,
            "request_timeout_ms": round(WAIT_S * 1_000),
            **security.client_options(),
        }
        self.admin = AIOKafkaAdminClient(**options)
        self.consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest", fetch_max_wait_ms=100)
        self.producer = AIOKafkaProducer(**options, enable_idempotence=idempotent, acks="all")

    async def read(self, topic: str) -> None:
        """Read what lies in the topic, at least one record."""
        await self.see(topic)
        self.consumer.assign([TopicPartition(topic, 0)])
        await self.consumer.seek_to_beginning()
        assert await self.consumer.getmany(timeout_ms=round(WAIT_S * 1_000))

    async def write(self, topic: str) -> None:
        await self.producer.send_and_wait(topic, b"x", b"key", partition=0)

    async def see_settings(self, topic: str) -> None:
        (answer,) = await self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        self._raise(answer.resources[0][0])

    async def erase(self, topic: str) -> None:
        """Ask that nothing be erased: only the right is tried."""
        await self.see(topic)  # whoever may delete may see
        await self.admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=0)})

    async def change_settings(self, topic: str) -> None:
        change = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1"})
        (answer,) = await self.admin.alter_configs([change])
        self._raise(answer.resources[0][0])

    async def create(self, topic: str) -> None:
        answer = await self.admin.create_topics([NewTopic(topic, 1, 1)])
        self._raise(answer.topic_errors[0][1])

    async def ask_progress(self, group: str) -> None:
        while True:
            try:
                await self.admin.list_consumer_group_offsets(group)
            except GroupCoordinatorNotAvailableError:  # the first question of all makes it
                await asyncio.sleep(0.1)
            else:
                return

    async def see(self, topic: str) -> None:
        (described,) = await self.admin.describe_topics([topic])
        self._raise(described["error_code"])

    @staticmethod
    def _raise(code: int) -> None:
        if code:
            raise for_code(code)


@asynccontextmanager
async def everybody(operations: Operations) -> AsyncIterator[dict[str, Somebody]]:
    async with AsyncExitStack() as stack:
        people: dict[str, Somebody] = {}
        for user in USERS:
            security = operations.security(user)
            # Who may write nothing is given no idempotence either, and would fail before it tried.
            somebody = Somebody(
                operations.cluster.bootstrap, security, idempotent=not user.startswith("agency-")
            )
            stack.push_async_callback(somebody.admin.close)
            await somebody.admin.start()
            stack.push_async_callback(somebody.consumer.stop)
            await somebody.consumer.start()
            stack.push_async_callback(somebody.producer.stop)
            await somebody.producer.start()
            people[user] = somebody
        yield people


async def allowed(attempt: Callable[[str], Awaitable[None]], name: str) -> bool:
    """Whether Kafka let it happen; any other failure is one of the test."""
    try:
        await attempt(name)
    except (
        TopicAuthorizationFailedError,
        GroupAuthorizationFailedError,
        ClusterAuthorizationFailedError,
    ):
        return False
    return True


async def test_everybody_may_do_what_the_matrix_says_and_nothing_else(operations: Operations) -> None:
    assert set(MATRIX) == {topic.name for topic in expand(load_topics(), [AGENCY, OTHER])}
    bootstrap, admin = operations.cluster.bootstrap, operations.cluster.administrator
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, **admin.client_options()) as producer:
        for topic in MATRIX:  # something to read
            await producer.send_and_wait(topic, b"x", b"key", partition=0)
    seen: dict[str, dict[str, str]] = {topic: {} for topic in MATRIX}
    async with everybody(operations) as people:
        for user, somebody in people.items():
            attempts = {
                "r": somebody.read,
                "w": somebody.write,
                "s": somebody.see_settings,
                "e": somebody.erase,
            }
            for topic in MATRIX:
                letters = [letter for letter, attempt in attempts.items() if await allowed(attempt, topic)]
                if letters:
                    seen[topic][user] = "".join(letters)
    assert seen == MATRIX


async def test_groups_are_their_users_own(operations: Operations) -> None:
    groups = {group for own in GROUPS.values() for group in own}
    groups |= {"agency-metro-police-cases", "console", "agency-"}
    seen: dict[str, set[str]] = {}
    async with everybody(operations) as people:
        for user, somebody in people.items():
            seen[user] = {group for group in groups if await allowed(somebody.ask_progress, group)}
    assert seen == GROUPS


async def test_nobody_but_the_administrator_makes_or_changes_a_topic(operations: Operations) -> None:
    async with everybody(operations) as people:
        for user, somebody in people.items():
            for topic in MATRIX:
                assert not await allowed(somebody.change_settings, topic), (user, topic)
            assert not await allowed(somebody.create, f"{user}.of-its-own.state.v1"), user


def test_nobody_but_the_administrator_gives_rights(operations: Operations) -> None:
    for user in USERS:
        client = admin_client(operations.cluster, operations.security(user))
        (answer,) = client.create_acls([rule(f"User:{user}", "registry.camera.state.v1")]).values()
        with pytest.raises(KafkaException, match="CLUSTER_AUTHORIZATION_FAILED"):
            answer.result(WAIT_S)


def admin_client(cluster: KafkaCluster, security: KafkaSecurity) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": cluster.bootstrap,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(security.ca_file),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": security.username,
            "sasl.password": security.password,
        }
    )


def filter_of(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def rule(principal: str, topic: str, permission: AclPermissionType = AclPermissionType.ALLOW) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        principal,
        "*",
        AclOperation.READ,
        permission,
    )
