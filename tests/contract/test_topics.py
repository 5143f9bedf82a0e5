"""`feedgate topics apply` and a running Kafka agree with the catalogue."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_topics import open_admin, own_settings, until
from feedgate_kit.bus.ports import ClosedError
from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import BusError
from feedgate_kit.topics import (
    ACCESS_UNITS,
    CAMERA_STATE,
    DEMAND_EVENTS,
    Setting,
    Topic,
    TopicError,
    apply_topics,
    expand,
    frame_events,
    load_topics,
)
from tests.contract.conftest import NUMBERS, own_topics
from tests.contract.reading import soon
from tests.servers.ports import free_port

CATALOGUE = load_topics()


async def partitions_of(admin: AIOKafkaAdminClient, *names: str) -> list[int]:
    described = await admin.describe_topics(list(names))
    counts = {entry["topic"]: len(entry["partitions"]) for entry in described}
    return [counts[name] for name in names]


def named_like(topics: Mapping[str, Topic], known: str) -> Topic:
    """The test's own twin of a topic of the catalogue."""
    (topic,) = [each for each in topics.values() if each.description == CATALOGUE[known].description]
    return topic


async def test_the_whole_catalogue_is_in_kafka_as_the_files_say(kafka_bootstrap: str) -> None:
    await apply_topics(kafka_bootstrap, CATALOGUE, ["pba", "pfa"])
    async with open_admin(kafka_bootstrap, 10) as admin:
        for topic in expand(CATALOGUE, ["pba", "pfa"]):
            assert await partitions_of(admin, topic.name) == [topic.partitions]
            wanted = {name: setting.value for name, setting in topic.config.items()}
            wanted |= {"min.insync.replicas": "1", "unclean.leader.election.enable": "false"}
            assert await own_settings(admin, topic.name) == wanted


async def test_what_is_as_it_should_be_is_left_alone(kafka_bootstrap: str) -> None:
    topics = own_topics(next(NUMBERS))
    made = await apply_topics(kafka_bootstrap, topics, [])
    assert len(made) == len(topics)
    assert all("made with" in line for line in made)
    assert await apply_topics(kafka_bootstrap, topics, []) == []


async def test_an_agency_that_joins_later_gets_its_topic(kafka_bootstrap: str) -> None:
    await apply_topics(kafka_bootstrap, CATALOGUE, [])
    agency = f"agency-{next(NUMBERS)}"
    assert await apply_topics(kafka_bootstrap, CATALOGUE, [agency]) == [
        f"{frame_events(agency)}: made with 3 partitions"
    ]


async def test_settings_that_drifted_or_changed_are_corrected_and_told(kafka_bootstrap: str) -> None:
    topics = own_topics(next(NUMBERS))
    await apply_topics(kafka_bootstrap, topics, [])
    state, events = named_like(topics, CAMERA_STATE), named_like(topics, DEMAND_EVENTS)
    async with open_admin(kafka_bootstrap, 10) as admin:
        # Somebody replaced the settings by hand: a lag that lets a stop move, and a retention of their own.
        drifted = {"cleanup.policy": "compact", "min.compaction.lag.ms": "0", "retention.ms": "1000"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, state.name, drifted)])

        async def has_drifted() -> bool:
            return await own_settings(admin, state.name) == drifted

        await soon(until(has_drifted))
        config = {**events.config, "retention.ms": Setting("240000", "a shorter one")}
        changed = {**topics, events.name: replace(events, config=config)}
        told = await apply_topics(kafka_bootstrap, changed, [])
        assert f"{state.name}: min.compaction.lag.ms: 0 -> 3600000" in told
        assert f"{state.name}: retention.ms: 1000 -> not set" in told
        assert f"{state.name}: message.timestamp.type: not set -> LogAppendTime" in told
        assert f"{events.name}: retention.ms: 300000 -> 240000" in told
        assert "retention.ms" not in await own_settings(admin, state.name)
    assert await apply_topics(kafka_bootstrap, changed, []) == []


async def test_other_partitions_are_refused_before_anything_is_changed(kafka_bootstrap: str) -> None:
    topics = own_topics(next(NUMBERS))
    state, events = named_like(topics, CAMERA_STATE), named_like(topics, DEMAND_EVENTS)
    await apply_topics(kafka_bootstrap, {state.name: state}, [])
    async with open_admin(kafka_bootstrap, 10) as admin:
        await admin.create_partitions({state.name: NewPartitions(total_count=2)})

        async def has_two() -> bool:
            return await partitions_of(admin, state.name) == [2]

        await soon(until(has_two))
        with pytest.raises(TopicError, match="has 2 partitions in Kafka; allowed: 1"):
            await apply_topics(kafka_bootstrap, topics, [])
        assert events.name not in await admin.list_topics()


async def test_a_replication_factor_the_cluster_cannot_give_is_told(kafka_bootstrap: str) -> None:
    with pytest.raises(BusError, match="was not made: InvalidReplicationFactorError"):
        await apply_topics(kafka_bootstrap, own_topics(next(NUMBERS)), [], replication_factor=3)


@pytest.mark.needs("kafka")
async def test_no_kafka_is_an_error_that_names_it() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BusError, match=f"applying topics to {nowhere}"):
        await apply_topics(nowhere, CATALOGUE, [])


async def changed(bootstrap: str, topic: str, **settings: str) -> None:
    """Set this, and nothing else, on a topic."""
    async with open_admin(bootstrap, 10) as admin:
        configured = await own_settings(admin, topic) | {
            name.replace("_", "."): value for name, value in settings.items()
        }
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configured)])

        async def settled() -> bool:
            return await own_settings(admin, topic) == configured

        await until(settled)


def bus_of(bootstrap: str, topics: Mapping[str, Topic], service: str) -> KafkaBus:
    return KafkaBus(KafkaSettings(bootstrap=bootstrap), SystemClock(), topics=topics, service=service)


async def test_a_bus_opens_on_topics_that_are_as_their_files_say(kafka_bootstrap: str) -> None:
    topics = own_topics(next(NUMBERS))
    await apply_topics(kafka_bootstrap, topics, [])
    # Kafka's own tools set such things while they move data.
    camera = named_like(topics, CAMERA_STATE).name
    await changed(kafka_bootstrap, camera, follower_replication_throttled_replicas="*")
    bus = bus_of(kafka_bootstrap, topics, "registry")
    await bus.start()
    await bus.close()


@pytest.mark.parametrize(
    ("known", "setting", "seen", "allowed"),
    [
        (CAMERA_STATE, "cleanup.policy", "delete", "compact"),
        (CAMERA_STATE, "min.compaction.lag.ms", "0", "3600000"),
        (ACCESS_UNITS, "retention.ms", "604800000", "60000"),
        (ACCESS_UNITS, "segment.ms", "604800000", "10000"),
    ],
)
async def test_a_topic_with_another_setting_keeps_those_who_use_it_from_the_bus(
    kafka_bootstrap: str, known: str, setting: str, seen: str, allowed: str
) -> None:
    topics = own_topics(next(NUMBERS))
    await apply_topics(kafka_bootstrap, topics, [])
    name = named_like(topics, known).name
    await changed(kafka_bootstrap, name, **{setting.replace(".", "_"): seen})
    bus = bus_of(kafka_bootstrap, topics, "relay")
    with pytest.raises(TopicError) as raised:
        await bus.start()
    assert str(raised.value) == (
        f"topic `{name}` has {setting} {seen} in Kafka; allowed: {allowed}."
        " `feedgate topics apply` puts it right (docs/guide/services.md)"
    )
    with pytest.raises(ClosedError):
        await bus.state_log(named_like(topics, CAMERA_STATE).name).open_reader()
    audit = bus_of(kafka_bootstrap, topics, "audit")  # uses neither topic
    await audit.start()
    await audit.close()
    await apply_topics(kafka_bootstrap, topics, [])
    await bus.start()
    await bus.close()


async def test_a_topic_with_other_partitions_or_none_keeps_those_who_use_it_from_the_bus(
    kafka_bootstrap: str,
) -> None:
    topics = own_topics(next(NUMBERS))
    bus = bus_of(kafka_bootstrap, topics, "ingest")
    with pytest.raises(TopicError, match="is not in Kafka, or this user may not see it"):
        await bus.start()
    await apply_topics(kafka_bootstrap, topics, [])
    name = named_like(topics, DEMAND_EVENTS).name
    async with open_admin(kafka_bootstrap, 10) as admin:
        await admin.create_partitions({name: NewPartitions(13)})

        async def told() -> bool:
            return await partitions_of(admin, name) == [13]

        await until(told)
    with pytest.raises(TopicError) as raised:
        await bus.start()
    assert str(raised.value) == (
        f"topic `{name}` has 13 partitions in Kafka; allowed: 12. Delete a topic with other partitions;"
        " then `feedgate topics apply` makes it anew (docs/guide/services.md)"
    )


async def test_an_agencys_topic_is_held_against_its_file_too(kafka_bootstrap: str) -> None:
    agency = f"agency-{next(NUMBERS)}"
    await apply_topics(kafka_bootstrap, CATALOGUE, [agency])
    await changed(kafka_bootstrap, frame_events(agency), retention_ms="1")
    bus = bus_of(kafka_bootstrap, CATALOGUE, "relay")
    with pytest.raises(TopicError, match=f"{agency}` has retention.ms 1 in Kafka; allowed: 259200000"):
        await bus.start()
    await apply_topics(kafka_bootstrap, CATALOGUE, [agency])
