"""What a full feed costs, and that nothing leaves a run that was hung up."""

import pytest
from prometheus_client import CollectorRegistry

from feedgate_contracts.media.v1 import access_unit_pb2
from feedgate_ingest.access_unit import AccessUnit, Epoch
from feedgate_ingest.adapters.wire import unit_record
from feedgate_ingest.metrics import IngestMetrics
from feedgate_ingest.outlet import Outlet
from feedgate_kit.bus.ports import MediaTail
from feedgate_kit.bus.record import Record

KEY, DELTA = True, False


class FullFeed:
    """A feed that is full for some of its pictures."""

    def __init__(self, full_for: set[int]) -> None:
        self.full_for = full_for
        self.offered: list[int] = []
        self.taken: list[int] = []

    def offer(self, record: Record) -> bool:
        sequence = access_unit_pb2.AccessUnit.FromString(record.value).sequence
        self.offered.append(sequence)
        if sequence in self.full_for:
            return False
        self.taken.append(sequence)
        return True

    async def open_tail(self, key: str) -> MediaTail:
        raise NotImplementedError(key)

    async def erase(self, key: str, *, spare_s: float) -> None:
        raise NotImplementedError(key, spare_s)


def unit(sequence: int, is_key: bool) -> AccessUnit:
    return AccessUnit(
        stream="cam/original",
        epoch=Epoch(3, 2),
        run=bytes(16),
        sequence=sequence,
        dts=sequence * 3600,
        pts=sequence * 3600,
        is_random_access_point=is_key,
        nal_units=(b"\x65one", b"\x65two"),
        parameter_sets=(b"\x67", b"\x68"),
        camera_time_us=5,
        camera_time_trusted=True,
        received_at_us=7,
        mask_version=4,
        digest=b"d" * 32,
        previous_digest=b"p" * 32,
    )


def play(full_for: set[int], *pictures: bool) -> tuple[FullFeed, CollectorRegistry]:
    feed, registry = FullFeed(full_for), CollectorRegistry()
    outlet = Outlet(feed, unit_record, IngestMetrics(registry))
    for sequence, is_key in enumerate(pictures):
        outlet.publish(unit(sequence, is_key))
    return feed, registry


def dropped(registry: CollectorRegistry, reason: str) -> float | None:
    return registry.get_sample_value("ingest_access_units_dropped_total", {"reason": reason})


def test_one_refused_picture_costs_the_rest_of_its_group() -> None:
    feed, registry = play({1}, KEY, DELTA, DELTA, DELTA, KEY, DELTA)
    assert feed.taken == [0, 4, 5]
    assert feed.offered == [0, 1, 4, 5], "what needs a lost picture is not even offered"
    assert dropped(registry, "feed_full") == 3
    assert registry.get_sample_value("ingest_access_units_published_total") == 3


def test_a_refused_keyframe_costs_its_whole_group() -> None:
    feed, _ = play({3}, KEY, DELTA, DELTA, KEY, DELTA, KEY, DELTA)
    assert feed.taken == [0, 1, 2, 5, 6]


def test_a_run_that_was_hung_up_publishes_nothing_more() -> None:
    feed, registry = FullFeed(set()), CollectorRegistry()
    outlet = Outlet(feed, unit_record, IngestMetrics(registry))
    outlet.publish(unit(0, KEY))
    outlet.shut()
    outlet.publish(unit(1, KEY))
    assert feed.offered == [0]
    assert dropped(registry, "hung_up") == 1


@pytest.mark.parametrize("is_key", [KEY, DELTA])
def test_the_record_holds_the_unit_whole(is_key: bool) -> None:
    record = unit_record(unit(9, is_key))
    assert record.key == "cam/original"
    assert dict(record.headers) == {
        "content-type": "application/protobuf",
        "ce_type": "feedgate.media.v1.AccessUnit",
    }
    assert access_unit_pb2.AccessUnit.FromString(record.value) == access_unit_pb2.AccessUnit(
        stream="cam/original",
        epoch=access_unit_pb2.Epoch(pool_version=3, generation=2),
        run=bytes(16),
        sequence=9,
        dts=32400,
        pts=32400,
        ticks_per_second=90000,
        is_random_access_point=is_key,
        codec=access_unit_pb2.CODEC_H264,
        nal_units=[b"\x65one", b"\x65two"],
        parameter_sets=[b"\x67", b"\x68"],
        camera_time_us=5,
        camera_time_trusted=True,
        received_at_us=7,
        mask_version=4,
        digest=b"d" * 32,
        previous_digest=b"p" * 32,
    )
