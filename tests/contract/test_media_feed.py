"""What every back promises of media topics."""

import asyncio

from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record
from feedgate_kit.bus.ring import RING_BYTES
from tests.contract.conftest import Back
from tests.contract.reading import numbers, record, soon, take

MIB = 1024 * 1024


async def test_pictures_of_a_stream_come_in_order_and_of_no_other(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tails = [await feed.open_tail(f"camera-{each}/original") for each in range(3)]
    for number in range(60):
        for each in range(4):
            assert feed.offer(record(f"camera-{each}/original", number, b"x" * 12_000))
    for each, tail in enumerate(tails):
        pictures = await take(aiter(tail), 60)
        assert {picture.key for picture in pictures} == {f"camera-{each}/original"}
        assert numbers(pictures) == list(range(60))


async def test_all_who_follow_a_stream_get_the_same_bytes(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tails = [await feed.open_tail("camera/original") for _ in range(3)]
    given = [Record("camera/original", bytes([number]) * 5_000, {"ce_type": "unit"}) for number in range(20)]
    for each in given:
        assert feed.offer(each)
    for tail in tails:
        assert await take(aiter(tail), 20) == given


async def test_a_tail_gives_what_is_offered_from_now_on(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    early = await feed.open_tail("camera/original")
    assert feed.offer(record("camera/original", 1))
    await take(aiter(early), 1)
    late = await feed.open_tail("camera/original")
    assert feed.offer(record("camera/original", 2))
    assert numbers(await take(aiter(late), 1)) == [2]
    assert numbers(await take(aiter(early), 1)) == [2]


async def test_a_stream_is_followed_again_after_its_last_tail_closed(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    keep = await feed.open_tail("camera-b/original")
    for number in range(5):
        tail = await feed.open_tail("camera-a/original")
        assert feed.offer(record("camera-a/original", number))
        assert feed.offer(record("camera-b/original", number))
        assert numbers(await take(aiter(tail), 1)) == [number]
        await tail.close()
    assert numbers(await take(aiter(keep), 5)) == list(range(5))


async def test_a_keyframe_of_6_mib_passes(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tail = await feed.open_tail("camera/original")
    keyframe = record("camera/original", 1, bytes(range(256)) * (6 * MIB // 256))
    assert feed.offer(keyframe)
    assert await take(aiter(tail), 1) == [keyframe]


async def test_what_the_topic_does_not_take_is_pushed_back(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tail = await feed.open_tail("camera/original")
    assert not feed.offer(record("camera/original", 1, b"x" * (8 * MIB + 1)))
    assert feed.offer(record("camera/original", 2))
    assert numbers(await take(aiter(tail), 1)) == [2]


async def test_a_slow_tail_loses_the_oldest_and_costs_no_other(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    slow, fast = await feed.open_tail("camera/original"), await feed.open_tail("camera/original")
    seen = aiter(fast)
    for number in range(5):
        assert feed.offer(record("camera/original", number, b"x" * (6 * MIB)))
        assert numbers(await take(seen, 1)) == [number]
    kept = RING_BYTES // (6 * MIB)
    assert numbers(await take(aiter(slow), kept)) == list(range(5))[-kept:]


async def test_erasing_a_stream_costs_others_nothing_and_it_may_go_on(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    erased, other = await feed.open_tail("camera-a/original"), await feed.open_tail("camera-b/original")
    assert feed.offer(record("camera-a/original", 0))
    assert feed.offer(record("camera-b/original", 0))
    assert numbers(await take(aiter(erased), 1)) == [0]
    erasing = asyncio.create_task(feed.erase("camera-a/original", spare_s=0.3))
    for number in range(1, 20):
        assert feed.offer(record("camera-b/original", number))
    await soon(erasing)
    assert numbers(await take(aiter(other), 20)) == list(range(20))
    assert feed.offer(record("camera-a/original", 1))
    assert numbers(await take(aiter(erased), 1)) == [1]


async def test_closing_a_tail_ends_the_iteration_under_way(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tail = await feed.open_tail("camera/original")
    seen: list[Record] = []
    one_seen = asyncio.Event()

    async def follow() -> None:
        async for picture in tail:
            seen.append(picture)
            one_seen.set()

    following = asyncio.create_task(follow())
    assert feed.offer(record("camera/original", 1))
    await soon(one_seen.wait())
    await tail.close()
    await tail.close()
    await soon(following)
    assert numbers(seen) == [1]


async def test_a_closed_bus_ends_every_tail_and_pushes_back(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    tail = await feed.open_tail("camera/original")
    iterating = asyncio.create_task(anext(aiter(tail), None))
    await asyncio.sleep(0)
    await bus.close()
    assert await soon(iterating) is None
    assert not feed.offer(record("camera/original", 1))


async def test_offering_to_nobody_is_accepted(bus: Bus, back: Back) -> None:
    feed = bus.media_feed(back.media)
    for number in range(20):
        assert feed.offer(record("unseen/original", number, b"x" * 12_000))
