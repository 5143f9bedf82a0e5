"""Brings a running Kafka in line with the topic catalogue."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from feedgate_kit.bus.kafka_connection import bus_errors
from feedgate_kit.errors import BusError
from feedgate_kit.topics import Topic, TopicError, expand

_SET_ON_TOPIC = 1  # DescribeConfigs response: this topic's own setting, not the broker's


async def apply_topics(
    bootstrap: str,
    topics: Mapping[str, Topic],
    agencies: Iterable[str],
    *,
    replication_factor: int = 1,
    timeout_s: float = 30.0,
) -> list[str]:
    """Make the topics that are missing and correct the settings of those that are there.

    The catalogue is the whole truth: a setting of a topic that it does not
    name goes back to the broker's. Partitions are never changed, for that would
    move keys, and so is the replication factor of a topic that exists.

    Args:
        bootstrap: `host:port` of one or more brokers.
        topics: from `load_topics`.
        agencies: ids; each gets its own topic of every template.
        replication_factor: of new topics; 3 in production. All but one replica must have a record
            before it is acknowledged.
        timeout_s: for everything.

    Returns:
        What was changed, a line each; nothing if all was as it should be.

    Raises:
        TopicError: a topic has another number of partitions; nothing was changed.
        BusError: Kafka cannot be reached or refused.
    """
    with bus_errors(f"applying topics to {bootstrap}"):
        async with asyncio.timeout(timeout_s), open_admin(bootstrap, timeout_s) as admin:
            return await _apply(admin, expand(topics, agencies), replication_factor)


@asynccontextmanager
async def open_admin(bootstrap: str, timeout_s: float) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client, closed whatever happens."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap,
        client_id="feedgate-topics",
        request_timeout_ms=round(timeout_s * 1_000),
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


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


async def _apply(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int) -> list[str]:
    existing = await _partitions(admin, topics)
    for topic in topics:
        seen = existing.get(topic.name, topic.partitions)
        if seen != topic.partitions:
            raise TopicError(
                f"topic `{topic.name}` has {seen} partitions in Kafka; allowed: {topic.partitions};"
                " more would move keys, so make the topic anew"
            )
    missing = [topic for topic in topics if topic.name not in existing]
    changes = await _create(admin, missing, replication_factor)
    for topic in topics:
        if topic.name in existing:
            changes += await _correct(admin, topic, replication_factor)
    return changes


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, int]:
    """How many partitions each topic has that exists."""
    described = await admin.describe_topics([topic.name for topic in topics])
    seen: dict[str, int] = {}
    for entry in described:
        error = for_code(entry["error_code"])
        if error is NoError:
            seen[entry["topic"]] = len(entry["partitions"])
        elif error is not UnknownTopicOrPartitionError:
            raise BusError(f"topic `{entry['topic']}`: {error.__name__}")
    return seen


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], replication_factor: int) -> list[str]:
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
    for name, code, *message in answer.topic_errors:
        if for_code(code) not in {NoError, TopicAlreadyExistsError}:
            raise BusError(
                f"topic `{name}` was not made: {for_code(code).__name__} {message[0] or ''}".rstrip()
            )
    return [f"{topic.name}: made with {topic.partitions} partitions" for topic in topics]


async def _correct(admin: AIOKafkaAdminClient, topic: Topic, replication_factor: int) -> list[str]:
    wanted = settings_of(topic, replication_factor)
    changes = differences(wanted, await own_settings(admin, topic.name))
    if not changes:
        return []
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, wanted)
    (answer,) = await admin.alter_configs([resource])
    for code, message, _, name in answer.resources:
        if for_code(code) is not NoError:
            raise BusError(
                f"topic `{name}` was not changed: {for_code(code).__name__} {message or ''}".rstrip()
            )
    return [f"{topic.name}: {change}" for change in changes]


async def own_settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """The settings a topic has of its own."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    settings: dict[str, str] = {}
    for code, message, _, name, entries in answer.resources:
        if for_code(code) is not NoError:
            raise BusError(f"topic `{name}`: {for_code(code).__name__} {message or ''}".rstrip())
        settings |= {entry[0]: entry[1] for entry in entries if _is_own(entry)}
    return settings


def _is_own(entry: Sequence[Any]) -> bool:
    """Entries are (name, value, read only, source, ...) from version 1 of the answer on."""
    return bool(entry[3] == _SET_ON_TOPIC)
