"""Brings a running Kafka in line with the topic catalogue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from feedgate_kit.bus.kafka_connection import bus_errors, close_connections, to_its_end
from feedgate_kit.bus.kafka_resets import answer_resets
from feedgate_kit.bus.kafka_settings import OPEN, KafkaSecurity, KafkaSettings
from feedgate_kit.errors import BusError
from feedgate_kit.supervise import pauses
from feedgate_kit.topics import Topic, TopicError, expand, used_by

_SET_ON_TOPIC = 1  # DescribeConfigs response: this topic's own setting, not the broker's


async def apply_topics(
    bootstrap: str,
    topics: Mapping[str, Topic],
    agencies: Iterable[str],
    *,
    replication_factor: int = 1,
    security: KafkaSecurity = OPEN,
    timeout_s: float = 30.0,
) -> list[str]:
    """Make the topics that are missing and correct the settings of those that are there.

    The catalogue, and what follows from the replication factor, is the whole
    truth: any other setting of a topic goes back to the broker's. Partitions are
    never changed, for that would move keys, nor are the replicas of a topic that exists.

    Args:
        bootstrap: `host:port` of one or more brokers.
        topics: from `load_topics`.
        agencies: ids; each gets its own topic of every template.
        replication_factor: of new topics; 3 in production. All but one replica must have a record
            before it is acknowledged.
        security: who does it.
        timeout_s: for everything.

    Returns:
        What was changed, a line each; nothing if all was as it should be.

    Raises:
        TopicError: a topic has another number of partitions; nothing was changed.
        BusError: Kafka cannot be reached or refused.
    """
    with bus_errors(f"applying topics to {bootstrap}"):
        async with asyncio.timeout(timeout_s), open_admin(bootstrap, timeout_s, security) as admin:
            return await _apply(admin, expand(topics, agencies), replication_factor)


@asynccontextmanager
async def open_admin(
    bootstrap: str, timeout_s: float, security: KafkaSecurity = OPEN
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client, closed whatever happens."""
    answer_resets()
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap,
        client_id="feedgate-topics",
        request_timeout_ms=round(timeout_s * 1_000),
        **security.client_options(),
    )
    try:
        await admin.start()
        yield admin
    finally:
        await to_its_end(admin.close(), timeout_s)
        await close_connections(admin._client, timeout_s)  # noqa: SLF001 - nothing public of it does


def settings_of(topic: Topic, replication_factor: int) -> dict[str, str]:
    """Every setting the topic is to have in Kafka."""
    in_sync = max(1, replication_factor - 1)
    return {name: setting.value for name, setting in topic.config.items()} | {
        "min.insync.replicas": str(in_sync),
        "unclean.leader.election.enable": "false",
    }


def differences(wanted: Mapping[str, str], seen: Mapping[str, str]) -> list[str]:
    """What has to change, a line each."""
    names = sorted(wanted.keys() | seen.keys())
    return [
        f"{name}: {seen.get(name, 'not set')} -> {wanted.get(name, 'not set')}"
        for name in names
        if wanted.get(name) != seen.get(name)
    ]


async def check_topics(settings: KafkaSettings, topics: Mapping[str, Topic], service: str) -> None:
    """Hold what a service uses against the files: partitions, and every setting a file names.

    A setting that no file names may be there: Kafka's own tools leave some while they move data.

    Raises:
        TopicError: one line on all that is not as it has to be, and what puts it right.
        BusError: Kafka cannot be reached or refused.
    """
    timeout_s = settings.request_timeout_s
    with bus_errors(f"looking at the topics of {settings.bootstrap}"):
        async with (
            asyncio.timeout(timeout_s),
            open_admin(settings.bootstrap, timeout_s, settings.security) as admin,
        ):
            described = await admin.describe_topics()
            partitions = {entry["topic"]: len(entry["partitions"]) for entry in described}
            used = used_by(service, topics, partitions)
            found = [topic.name for topic in used if topic.name in partitions]
            kept = await own_settings_of(admin, found)
    wrong = [
        line for topic in used for line in _wrong(topic, partitions.get(topic.name), kept.get(topic.name, {}))
    ]
    if wrong:
        remedy = "`feedgate topics apply` puts it right"
        if any(partitions.get(topic.name, topic.partitions) != topic.partitions for topic in used):
            remedy = "Delete a topic with other partitions; then `feedgate topics apply` makes it anew"
        raise TopicError(f"{'; '.join(wrong)}. {remedy}")


def _wrong(topic: Topic, partitions: int | None, seen: Mapping[str, str]) -> list[str]:
    if partitions is None:
        return [f"topic `{topic.name}` is not in Kafka, or this user may not see it"]
    lines = []
    if partitions != topic.partitions:
        lines.append(
            f"topic `{topic.name}` has {partitions} partitions in Kafka; allowed: {topic.partitions}"
        )
    for name, setting in topic.config.items():
        if seen.get(name) != setting.value:
            lines.append(
                f"topic `{topic.name}` has {name} {seen.get(name, 'not set')} in Kafka; allowed: {setting.value}"
            )
    return lines


async def _apply(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int) -> list[str]:
    there = await _there(admin, topics)
    made = await _make(admin, [topic for topic in topics if topic.name not in there], replication_factor)
    await until(lambda: _all_there(admin, topics))
    changes = [f"{topic.name}: made with {topic.partitions} partitions" for topic in made]
    for topic in topics:
        if topic not in made:
            changes += await _correct(admin, topic, replication_factor)
    return changes


async def _there(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> set[str]:
    """Names of the topics that exist.

    Raises:
        TopicError: one of them has another number of partitions.
    """
    wanted = {topic.name: topic.partitions for topic in topics}
    there: set[str] = set()
    for entry in await admin.describe_topics(list(wanted)):
        name, seen, error = entry["topic"], len(entry["partitions"]), for_code(entry["error_code"])
        if error is UnknownTopicOrPartitionError:
            continue
        if error is not NoError:
            raise BusError(f"topic `{name}`: {error.__name__}")
        if seen != wanted[name]:
            raise TopicError(
                f"topic `{name}` has {seen} partitions in Kafka; allowed: {wanted[name]};"
                " more would move keys, so make the topic anew"
            )
        there.add(name)
    return there


async def _all_there(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> bool:
    return len(await _there(admin, topics)) == len(topics)


async def _make(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int) -> list[Topic]:
    """The topics made; without those that somebody else made at the same time."""
    if not topics:
        return []
    answer = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions,
                replication_factor,
                topic_configs=settings_of(topic, replication_factor),
            )
            for topic in topics
        ]
    )
    made: set[str] = set()
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            made.add(name)
        elif error is not TopicAlreadyExistsError:
            raise BusError(f"topic `{name}` was not made: {error.__name__} {message[0] or ''}".rstrip())
    return [topic for topic in topics if topic.name in made]


async def _correct(admin: AIOKafkaAdminClient, topic: Topic, replication_factor: int) -> list[str]:
    """What was changed of a topic that exists."""
    wanted = settings_of(topic, replication_factor)
    changes = differences(wanted, await own_settings(admin, topic.name))
    if not changes:
        return []
    (answer,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wanted)])
    for code, message, _, name in answer.resources:
        if for_code(code) is not NoError:
            raise BusError(
                f"topic `{name}` was not changed: {for_code(code).__name__} {message or ''}".rstrip()
            )

    async def settled() -> bool:
        return await own_settings(admin, topic.name) == wanted

    await until(settled)
    return [f"{topic.name}: {change}" for change in changes]


async def until(told: Callable[[], Awaitable[bool]]) -> None:
    """Return when the broker says so: it learns what the controller decided a little later."""
    for wait_s in pauses(first_s=0.02, longest_s=0.5):
        if await told():
            return
        await asyncio.sleep(wait_s)


async def own_settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """The settings a topic has of its own."""
    return (await own_settings_of(admin, [topic]))[topic]


async def own_settings_of(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings each topic has of its own."""
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    (answer,) = await admin.describe_configs(asked)
    settings: dict[str, dict[str, str]] = {}
    for code, message, _, name, entries in answer.resources:
        if for_code(code) is not NoError:
            raise BusError(f"topic `{name}`: {for_code(code).__name__} {message or ''}".rstrip())
        settings[name] = {entry[0]: entry[1] for entry in entries if _is_own(entry)}
    return settings


def _is_own(entry: Sequence[Any]) -> bool:
    """Entries are (name, value, read only, source, ...) from version 1 of the answer on."""
    return bool(entry[3] == _SET_ON_TOPIC)
