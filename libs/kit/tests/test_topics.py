"""The catalogue's files say what the design asks, and the code and the messages agree with them."""

import importlib
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.message import Message

from feedgate_contracts.camera.v1 import camera_pb2
from feedgate_kit import topics as code
from feedgate_kit.topics import (
    CAMERA_STATE,
    DEMAND_EVENTS,
    FRAME_EVENTS,
    Topic,
    TopicError,
    audit_events,
    dead_letters,
    expand,
    find_topic,
    frame_events,
    load_topics,
    read_topic,
)

CATALOGUE = load_topics()
PRODUCERS_OF_AUDIT = ("access-policy", "registry", "relay")
EACH_TOPIC = pytest.mark.parametrize("topic", CATALOGUE.values(), ids=CATALOGUE)


def file_of(name: str) -> dict[str, Any]:
    text = files("feedgate_contracts").joinpath("topics", f"{name}.yaml").read_text(encoding="utf-8")
    entry: dict[str, Any] = yaml.safe_load(text)
    return entry


def read(name: str, change: Callable[[dict[str, Any]], object]) -> list[Topic]:
    """Read the file of `name` after a change to it."""
    entry = file_of(name)
    change(entry)
    return read_topic(name, yaml.safe_dump(entry))


def test_code_and_files_name_the_same_topics() -> None:
    constants = {
        getattr(code, name) for name in vars(code) if re.fullmatch("[A-Z_]+_(STATE|EVENTS|UNITS)", name)
    }
    named = constants | {audit_events(service) for service in PRODUCERS_OF_AUDIT}
    assert named == {name for name, topic in CATALOGUE.items() if topic.dead_letters_of is None}


@EACH_TOPIC
def test_the_value_is_a_message_that_exists(topic: Topic) -> None:
    package, _, name = topic.value.rpartition(".")
    folder = package.replace("feedgate.", "feedgate_contracts.", 1)
    modules = files(folder).iterdir()
    found = [
        getattr(importlib.import_module(f"{folder}.{module.name.removesuffix('.py')}"), name, None)
        for module in modules
        if module.name.endswith("_pb2.py")
    ]
    (message,) = [each for each in found if each is not None]
    assert issubclass(message, Message)
    assert message.DESCRIPTOR.full_name == topic.value


def test_the_message_a_state_topic_carries_is_the_one_the_code_means() -> None:
    assert CATALOGUE[CAMERA_STATE].value == camera_pb2.CameraState.DESCRIPTOR.full_name


@EACH_TOPIC
def test_every_setting_has_its_reason(topic: Topic) -> None:
    for name, setting in topic.config.items():
        assert len(setting.reason) > 10, name


@EACH_TOPIC
def test_dead_letters_take_whatever_their_topic_took(topic: Topic) -> None:
    twin = CATALOGUE.get(dead_letters(topic.name))
    handled_by_us = topic.kind == "events" and topic.consumers not in {("agency",), ("operations",)}
    assert (twin is not None) == handled_by_us
    if twin is not None:
        assert twin.dead_letters_of == topic.name
        assert (twin.value, twin.personal_data) == (topic.value, topic.personal_data)
        assert twin.setting("max.message.bytes") > topic.setting("max.message.bytes")
        assert twin.setting("retention.ms") >= topic.setting("retention.ms")


def test_state_topics_keep_one_order_and_a_stop_before_its_heartbeat() -> None:
    for topic in CATALOGUE.values():
        if topic.kind == "state":
            assert topic.partitions == 1
            assert topic.config["cleanup.policy"].value == "compact"
            assert topic.setting("min.compaction.lag.ms") >= 3_600_000


def test_what_an_agency_reads_carries_no_pixels_and_media_is_kept_for_seconds() -> None:
    media = [topic for topic in CATALOGUE.values() if topic.kind == "media"]
    assert [topic.consumers for topic in media] == [("relay",)]
    assert media[0].setting("retention.ms") + media[0].setting("segment.ms") <= 90_000
    assert media[0].setting("max.message.bytes") == 8 * 1024 * 1024


def test_a_template_becomes_one_topic_for_each_agency() -> None:
    names = {topic.name for topic in expand(CATALOGUE, ["pba", "pfa", "pba"])}
    assert {frame_events("pba"), frame_events("pfa")} <= names
    assert not [name for name in names if "<" in name]
    assert len(names) == len(CATALOGUE) + 1


def test_an_agency_that_cannot_be_part_of_a_name_is_refused() -> None:
    for agency in ("", "Pba", "p.b", "pba.audit", "x" * 64):
        with pytest.raises(TopicError, match="cannot be part"):
            expand(CATALOGUE, [agency])


def test_a_topic_is_found_by_its_real_name_and_kind() -> None:
    assert find_topic(CATALOGUE, frame_events("pba"), "events").name == frame_events("pba")
    assert find_topic(CATALOGUE, CAMERA_STATE, "state").partitions == 1
    for name in (
        "registry.camera.state.v2",
        FRAME_EVENTS,
        "relay.frame.events.v1",
        "relay.frame.events.v1.a.b",
    ):
        with pytest.raises(TopicError, match="not in the catalogue"):
            find_topic(CATALOGUE, name)
    with pytest.raises(TopicError, match="of kind state; asked for: media"):
        find_topic(CATALOGUE, CAMERA_STATE, "media")


def test_audit_topics_belong_to_services() -> None:
    with pytest.raises(TopicError, match="no service"):
        audit_events("nobody")


@pytest.mark.parametrize(
    "name",
    [
        "registry.camera.state",
        "registry.camera.state.v0",
        "registry.camera_state.state.v1",
        "registry.camera.table.v1",
        "police.camera.state.v1",
        "registry.camera.state.v1.pba",
        "relay.demand.events.v1.dlq",
        "Registry.camera.state.v1",
    ],
)
def test_illegal_names_are_refused(name: str) -> None:
    with pytest.raises(TopicError, match="no topic name"):
        read_topic(name, "{}")


def set_config(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda entry: entry["config"].update({name: {"value": value, "reason": "because of a test"}})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        pytest.param(CAMERA_STATE, lambda e: e.update(retention=5), "unknown `retention`", id="unknown key"),
        pytest.param(
            CAMERA_STATE, lambda e: e.pop("personal_data"), "`personal_data` missing", id="missing key"
        ),
        pytest.param(
            CAMERA_STATE, lambda e: e.update(producer="relay"), "producer is `relay`", id="producer"
        ),
        pytest.param(CAMERA_STATE, lambda e: e.update(consumers=["police"]), "consumers is", id="consumer"),
        pytest.param(CAMERA_STATE, lambda e: e.update(consumers=[]), "consumers is", id="no consumer"),
        pytest.param(CAMERA_STATE, lambda e: e.update(partitions=2), "allowed for state: 1", id="partitions"),
        pytest.param(DEMAND_EVENTS, lambda e: e.update(partitions=0), "from 1", id="no partitions"),
        pytest.param(
            DEMAND_EVENTS, lambda e: e.update(partitions="many"), "from 1", id="partitions in words"
        ),
        pytest.param(CAMERA_STATE, lambda e: e.update(key=" "), "allowed: some text", id="empty key"),
        pytest.param(CAMERA_STATE, lambda e: e.update(per="agency"), "unknown `per`", id="state per agency"),
        pytest.param(DEMAND_EVENTS, lambda e: e.update(per="case"), "per is `case`", id="per case"),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e.pop("dead_letters"),
            "only where, a service consumes it",
            id="no dead letters",
        ),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e.update(consumers=["agency"]),
            "only where, a service consumes it",
            id="letters for nobody",
        ),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e["dead_letters"].update({"segment.ms": {"value": 1, "reason": "because"}}),
            "allowed: retention.ms",
            id="settings of dead letters",
        ),
        pytest.param(
            CAMERA_STATE, set_config("min.compaction.lag.ms", 3_599_999), "stop behind a heartbeat", id="lag"
        ),
        pytest.param(
            CAMERA_STATE, set_config("cleanup.policy", "delete"), "allowed for state: compact", id="delete"
        ),
        pytest.param(
            DEMAND_EVENTS, set_config("cleanup.policy", "compact"), "for events: delete", id="compact"
        ),
        pytest.param(
            CAMERA_STATE, set_config("message.timestamp.type", "CreateTime"), "LogAppendTime", id="timestamps"
        ),
        pytest.param(
            CAMERA_STATE, set_config("retention.ms", 1), "unknown `retention.ms`", id="expiring state"
        ),
        pytest.param(
            CAMERA_STATE, set_config("segment.mss", 1), "unknown `segment.mss`", id="misspelt setting"
        ),
        pytest.param(
            DEMAND_EVENTS, set_config("segment.ms", 600_000), "open segment is not deleted", id="segment"
        ),
        pytest.param(DEMAND_EVENTS, set_config("retention.ms", "5 min"), "a whole number", id="no number"),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e["config"].pop("retention.ms"),
            "`retention.ms` missing",
            id="no retention",
        ),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e["config"].update({"retention.ms": 300_000}),
            "a value and a reason",
            id="bare",
        ),
        pytest.param(
            DEMAND_EVENTS,
            lambda e: e["config"]["retention.ms"].update(reason=""),
            "a value and a reason",
            id="no reason",
        ),
        pytest.param(DEMAND_EVENTS, lambda e: e.update(config=[]), "no mapping", id="no settings"),
    ],
)
def test_a_file_that_is_not_as_it_has_to_be_is_refused(
    name: str, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    assert read(name, lambda entry: entry)
    with pytest.raises(TopicError, match=re.escape(said)):
        read(name, change)


def test_what_lies_beside_the_topic_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{CAMERA_STATE}.yaml").write_text(yaml.safe_dump(file_of(CAMERA_STATE)), encoding="utf-8")
    assert set(load_topics(tmp_path)) == {CAMERA_STATE}
    (tmp_path / "registry.camera.state.v1.yml").touch()
    with pytest.raises(TopicError, match="no topic file"):
        load_topics(tmp_path)
