"""From a media record to a fragment: what is taken, what is dropped, and the times players are given."""

import io

import av
import pytest
from prometheus_client import CollectorRegistry

from feedgate_contracts.media.v1.access_unit_pb2 import CODEC_H265, AccessUnit
from feedgate_kit.bus.embedded import EmbeddedBus
from feedgate_kit.errors import UnreadableRecordError
from feedgate_kit.topics import ACCESS_UNITS
from feedgate_relay.admission import Limits
from feedgate_relay.gop import GopCache
from feedgate_relay.hub import StreamHub
from feedgate_relay.metrics import RelayMetrics
from feedgate_relay.picture import Picture, read_unit
from services.relay.tests.scene import PICTURE_TICKS, STREAM, Lens, SteppedClock, clip

CLOCK = SteppedClock()


def hub() -> StreamHub:
    return StreamHub(
        STREAM,
        feed=EmbeddedBus(None, CLOCK).media_feed(ACCESS_UNITS),
        clock=CLOCK,
        limits=Limits(),
        metrics=RelayMetrics(CollectorRegistry()),
    )


def unit(**changes: object) -> AccessUnit:
    return Lens(CLOCK).unit(**changes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream": "another/original"},
        {"run": b"short"},
        {"codec": CODEC_H265},
        {"ticks_per_second": 0},
        {"ticks_per_second": 1 << 31},
        {"received_at_us": 0},
        {"dts": 1 << 61},
        {"pts": 1 << 40},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_unit_without_what_a_picture_must_have_is_not_read(wrong: dict[str, object]) -> None:
    value = unit()
    for name, entry in wrong.items():
        setattr(value, name, entry)
    with pytest.raises(UnreadableRecordError):
        read_unit(value.SerializeToString(), STREAM)


def test_a_unit_without_nal_units_and_bytes_that_are_none_are_not_read() -> None:
    empty = unit()
    del empty.nal_units[:]
    for value in (empty.SerializeToString(), b"\xff", b""):
        with pytest.raises(UnreadableRecordError):
            read_unit(value, STREAM)


def test_a_run_that_begins_before_zero_plays_from_zero() -> None:
    relay, lens = hub(), Lens(CLOCK, clip(b_pictures=2))
    early = -2 * PICTURE_TICKS
    for coded in lens.units(6):
        coded.dts += early
        coded.pts += early
        relay.take(coded.SerializeToString())
    pictures = relay.gop.pictures
    assert pictures[0].init is not None
    movie = pictures[0].init.body + b"".join(picture.body for picture in pictures)
    with av.open(io.BytesIO(movie), "r") as container:
        times = [packet.dts for packet in container.demux(video=0) if packet.size]
    assert times == [number * PICTURE_TICKS for number in range(6)]


def test_a_keyframe_with_unusable_parameter_sets_waits_for_a_better_one() -> None:
    relay, lens = hub(), Lens(CLOCK)
    broken = lens.unit()
    del broken.parameter_sets[:]
    relay.take(broken.SerializeToString())
    for following in lens.units(9):
        relay.take(following.SerializeToString())
    assert relay.gop.pictures == []
    relay.take(lens.unit().SerializeToString())
    assert [picture.sequence for picture in relay.gop.pictures] == [10]


def test_changed_parameter_sets_make_a_new_init_segment() -> None:
    relay, lens = hub(), Lens(CLOCK)
    relay.take(lens.unit().SerializeToString())
    before = relay.gop.pictures[0].init
    lens.clip = clip(width=320, height=192)
    lens.skip_to_keyframe()
    lens.sequence = 20
    relay.take(lens.unit().SerializeToString())
    after = relay.gop.pictures[0].init
    assert before is not None
    assert after is not None
    assert after is not before
    assert after.body != before.body


def test_the_keyframe_interval_is_measured() -> None:
    relay, lens = hub(), Lens(CLOCK)
    for coded in lens.units(11):
        relay.take(coded.SerializeToString())
    assert relay.keyframe_interval_s == pytest.approx(0.4)


def test_the_cache_holds_one_group_and_never_more_than_its_bytes() -> None:
    cache = GopCache(limit_bytes=250)

    def push(sequence: int, *, keyframe: bool) -> None:
        value = unit(sequence=sequence, is_random_access_point=keyframe)
        picture = Picture(value, hub().newest.observe((1, 1), value.run, 0.0), 0)  # type: ignore[arg-type]
        picture.body = bytes(100)
        cache.push(picture)

    push(0, keyframe=False)
    assert cache.pictures == []
    push(1, keyframe=True)
    push(2, keyframe=False)
    assert [picture.sequence for picture in cache.pictures] == [1, 2]
    push(3, keyframe=False)
    push(4, keyframe=False)
    assert cache.pictures == []
    push(5, keyframe=True)
    assert [picture.sequence for picture in cache.pictures] == [5]
