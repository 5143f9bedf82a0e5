"""What stands in headers, positions and partitions, where other clients read or write it."""

import re

import pytest
from aiokafka import TopicPartition

from feedgate_kit.bus.cloudevents import headers_for, media_headers
from feedgate_kit.bus.kafka_control import partition_of
from feedgate_kit.bus.kafka_events import read_position, written
from feedgate_kit.bus.kafka_topics import differences, settings_of
from feedgate_kit.bus.ports import TooLargeError
from feedgate_kit.bus.record import Record
from feedgate_kit.bus.record_size import check_size, fits, size_bytes
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.stepped_clock import SteppedClock
from feedgate_kit.topics import ACCESS_UNITS, CAMERA_STATE, load_topics

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_headers_follow_cloudevents_in_binary_mode() -> None:
    clock = SteppedClock(1_795_000_000 * MICROSECONDS + 42)
    headers = headers_for("feedgate.camera.v1.CameraState", "registry", "camera-1", clock=clock)
    assert UUID.fullmatch(headers.pop("ce_id"))
    assert headers == {
        "ce_specversion": "1.0",
        "ce_source": "registry",
        "ce_type": "feedgate.camera.v1.CameraState",
        "ce_subject": "camera-1",
        "ce_time": "2026-11-18T11:06:40.000042Z",
        "content-type": "application/protobuf",
    }


def test_every_event_has_an_id_of_its_own() -> None:
    clock = SteppedClock()
    assert headers_for("t", "s", clock=clock)["ce_id"] != headers_for("t", "s", clock=clock)["ce_id"]
    assert "ce_subject" not in headers_for("t", "s", clock=clock)


def test_media_records_carry_no_more_than_their_type() -> None:
    assert media_headers("feedgate.media.v1.AccessUnit") == {
        "content-type": "application/protobuf",
        "ce_type": "feedgate.media.v1.AccessUnit",
    }


@pytest.mark.parametrize(
    ("key", "hashed"),
    # Apache Kafka's own test vectors, UtilsTest.testMurmur2.
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("abc", 479470107),
    ],
)
def test_keys_lie_where_any_kafka_client_puts_them(key: str, hashed: int) -> None:
    for partitions in (1, 3, 12, 24):
        assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


def test_a_position_names_the_next_offset_of_every_partition() -> None:
    places = {TopicPartition("t", 10): 7, TopicPartition("t", 2): 0}
    assert written(places) == "2:0,10:7"
    assert read_position("2:0,10:7", "t") == places


@pytest.mark.parametrize(
    "position", ["", "7", ":", "1:", "1:2,", "-1:2", "1:2;3:4", "1:2 ", "\u0661:\u0662", "9" * 20]
)
def test_what_was_not_written_is_no_position(position: str) -> None:
    assert read_position(position, "t") is None


def test_a_record_is_measured_with_all_it_has_on_the_wire() -> None:
    media = load_topics()[ACCESS_UNITS]
    limit = media.setting("max.message.bytes")
    room = limit - size_bytes(Record("cámara", b"", {"ce_type": "unit"}))
    assert fits(Record("cámara", b"x" * room, {"ce_type": "unit"}), media)
    assert not fits(Record("cámara", b"x" * (room + 1), {"ce_type": "unit"}), media)
    with pytest.raises(TooLargeError, match=f"allowed: {limit}") as raised:
        check_size(Record("camera", b"secret" * limit), media)
    assert "secret" not in str(raised.value)
    assert not raised.value.retriable


def test_settings_grow_with_the_replication_factor() -> None:
    topic = load_topics()[CAMERA_STATE]
    assert settings_of(topic, 1)["min.insync.replicas"] == "1"
    assert settings_of(topic, 3)["min.insync.replicas"] == "2"
    assert settings_of(topic, 3)["unclean.leader.election.enable"] == "false"


def test_differences_name_what_changes_only() -> None:
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == [
        "b: 3 -> 2",
        "c: 4 -> not set",
    ]
    assert differences({"a": "1"}, {}) == ["a: not set -> 1"]
    assert differences({"a": "1"}, {"a": "1"}) == []
