"""The Kafka back while its broker is frozen, killed and started again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_events import KafkaConsumer
from feedgate_kit.bus.kafka_state import KafkaStateReader
from feedgate_kit.bus.ports import EventLog, MediaFeed, StateLog
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import BusError
from feedgate_kit.topics import Topic, apply_topics
from tests.contract.conftest import NUMBERS, own_topics
from tests.contract.reading import PATIENCE_S, numbers, read_events, record, soon, take
from tests.servers.kafka import KafkaBroker
from tests.servers.needs import require

pytestmark = pytest.mark.needs("kafka")

KEY = "camera/original"
GOP = 25
REQUEST_TIMEOUT_S = 1.5
SHORT_SESSION_S = 1.5


@pytest.fixture(scope="module")
def brought_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    require("kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest.fixture
def broker(brought_up: KafkaBroker) -> Iterator[KafkaBroker]:
    """A broker that answers, whatever the test before did to it."""
    if not brought_up.process.running:
        brought_up.start()
    yield brought_up
    if brought_up.process.running:
        brought_up.cont()


@pytest.fixture
async def topics(broker: KafkaBroker) -> Mapping[str, Topic]:
    topics = own_topics(next(NUMBERS))
    async with asyncio.timeout(PATIENCE_S):
        while not await made(broker, topics):
            pass
    return {topic.kind: topic for topic in reversed(list(topics.values()))}


async def made(broker: KafkaBroker, topics: Mapping[str, Topic]) -> bool:
    """Whether the broker makes topics: one that was frozen is fenced until it has told its controller that it lives."""
    try:
        await apply_topics(broker.bootstrap, topics, [])
    except BusError:
        return False
    return True


@pytest.fixture
def unopened(broker: KafkaBroker, topics: Mapping[str, Topic]) -> KafkaBus:
    settings = KafkaSettings(
        bootstrap=broker.bootstrap,
        request_timeout_s=REQUEST_TIMEOUT_S,
        media_timeout_s=1.0,
        queue_units=GOP,
    )
    return KafkaBus(settings, SystemClock(), topics={topic.name: topic for topic in topics.values()})


@pytest.fixture
async def bus(unopened: KafkaBus) -> AsyncIterator[KafkaBus]:
    await unopened.start()
    yield unopened
    await unopened.close()


@pytest.fixture
def state(unopened: KafkaBus, topics: Mapping[str, Topic]) -> StateLog:
    return unopened.state_log(topics["state"].name)


@pytest.fixture
def events(unopened: KafkaBus, topics: Mapping[str, Topic]) -> EventLog:
    return unopened.event_log(topics["events"].name)


@pytest.fixture
def media(unopened: KafkaBus, topics: Mapping[str, Topic]) -> MediaFeed:
    return unopened.media_feed(topics["media"].name)


async def append_at_last(log: StateLog | EventLog, given: Record) -> None:
    """As a publisher does: the same record again until it is acknowledged."""

    async def appended() -> bool:
        try:
            await log.append(given)
        except BusError:
            return False
        return True

    async with asyncio.timeout(20):
        while not await appended():
            pass


async def through_again(feed: MediaFeed, tail: AsyncIterator[Record]) -> list[int]:
    """Offer new pictures until one arrives; the numbers of all that arrived on the way."""
    seen: list[int] = []
    next_one = asyncio.ensure_future(anext(tail))
    for number in range(1_000, 1_400):
        feed.offer(record(KEY, number))
        done, _ = await asyncio.wait({next_one}, timeout=0.05)
        if done:
            seen += numbers([next_one.result()])
            if seen[-1] >= 1_000:
                return seen
            next_one = asyncio.ensure_future(anext(tail))
    next_one.cancel()
    pytest.fail(f"no new picture came through in 20 s, only {seen}")


@pytest.mark.usefixtures("bus")
async def test_an_append_to_a_frozen_broker_fails_in_time_and_lands_late_and_once(
    broker: KafkaBroker, state: StateLog
) -> None:
    await state.append(record("camera", 1))
    broker.stop()
    began = time.monotonic()
    with pytest.raises(BusError, match="appending") as raised:
        await state.append(record("camera", 2))
    assert raised.value.retriable
    assert time.monotonic() - began < 2 * REQUEST_TIMEOUT_S
    broker.cont()
    await append_at_last(state, record("camera", 3))
    reader = await state.open_reader()
    # 2 was reported failed and is there all the same, before 3. It was sent again on a new connection,
    # and lands once: the producer is idempotent.
    assert numbers(await soon(reader.read_to_end())) == [1, 2, 3]


@pytest.mark.usefixtures("bus")
async def test_a_reader_of_a_frozen_broker_hears_nothing_and_then_misses_nothing(
    broker: KafkaBroker, state: StateLog
) -> None:
    relay, publisher = await state.open_reader(), await state.open_reader()
    await state.append(record("camera", 1))
    assert numbers(await soon(relay.read_to_end())) == [1]
    broker.stop()
    reading = asyncio.create_task(relay.read())
    for _ in range(2):
        with pytest.raises(BusError) as raised:
            await publisher.read_to_end()
        assert raised.value.retriable
    assert not reading.done()
    broker.cont()
    await append_at_last(state, record("camera", 2))
    assert numbers(await soon(reading)) == [2]
    assert numbers(await soon(publisher.read_to_end())) == [1, 2]


@pytest.mark.usefixtures("bus")
async def test_a_reader_whose_client_fetches_no_more_says_so(state: StateLog) -> None:
    """Of a task that ended aiokafka says nothing: its consumer would read nothing, for ever."""
    reader = await state.open_reader()
    assert isinstance(reader, KafkaStateReader)
    await state.append(record("camera", 1))
    assert numbers(await soon(reader.read_to_end())) == [1]
    reading = asyncio.create_task(reader.read())
    fetching = reader._poller.consumer._fetcher._fetch_task
    fetching.cancel()
    await asyncio.wait({fetching})
    with pytest.raises(BusError, match="fetches no more"):
        await soon(reading)


@pytest.mark.usefixtures("bus")
async def test_a_frozen_broker_pushes_back_within_one_gop_and_lets_pictures_through_again(
    broker: KafkaBroker, media: MediaFeed
) -> None:
    tail = aiter(await media.open_tail(KEY))
    assert media.offer(record(KEY, 0))
    await take(tail, 1)
    broker.stop()
    accepted = [media.offer(record(KEY, number, b"x" * 12_000)) for number in range(1, 40)]
    # The first picture was read, but its acknowledgement may still be under way and hold a place.
    room = accepted.index(False)
    assert room in {GOP - 1, GOP}
    assert not any(accepted[room:])
    broker.cont()
    seen = await through_again(media, tail)
    assert seen == sorted(seen)


@pytest.mark.usefixtures("bus")
async def test_pictures_lost_to_silence_are_told_once_so_that_a_keyframe_follows(
    broker: KafkaBroker, media: MediaFeed
) -> None:
    tail = aiter(await media.open_tail(KEY))
    assert media.offer(record(KEY, 0))
    await take(tail, 1)
    broker.stop()
    accepted = [media.offer(record(KEY, 1))]
    while accepted[-1] and len(accepted) < GOP:
        await asyncio.sleep(
            0.2
        )  # five pictures a second: the queue does not fill before the first one is lost
        accepted.append(media.offer(record(KEY, 1 + len(accepted))))
    assert accepted[-1] is False
    assert 2 < len(accepted) < GOP
    assert media.offer(record(KEY, 1 + len(accepted)))


@pytest.mark.usefixtures("bus")
async def test_everything_goes_on_by_itself_when_a_killed_broker_is_back(
    broker: KafkaBroker, state: StateLog, events: EventLog, media: MediaFeed
) -> None:
    reader, consumer = await state.open_reader(), await events.open_consumer("ingest")
    tail = aiter(await media.open_tail(KEY))
    await state.append(record("camera", 1))
    await events.append(record("camera", 1))
    assert media.offer(record(KEY, 1))
    assert numbers(await soon(reader.read_to_end())) == [1]
    await read_events(consumer, 1)
    await consumer.commit()
    await take(tail, 1)

    broker.kill()
    reading, consuming = asyncio.create_task(reader.read()), asyncio.create_task(consumer.read())
    with pytest.raises(BusError):
        await state.append(record("camera", 2))
    assert not reading.done()
    assert not consuming.done()
    broker.start()

    await append_at_last(state, record("camera", 3))
    assert numbers(await soon(reading))[0] in {2, 3}
    await append_at_last(events, record("camera", 2))
    assert numbers([each.record for each in await soon(consuming)]) == [2]
    assert (await through_again(media, tail))[-1] >= 1_000
    await soon(reader.read_to_end())
    await append_at_last(state, record("camera", 4))
    assert numbers(await soon(reader.read_to_end())) == [4]


@pytest.mark.parametrize("silent", [True, False], ids=["frozen", "killed"])
async def test_a_bus_closes_in_bounded_time_whatever_the_broker_does(
    silent: bool,
    broker: KafkaBroker,
    unopened: KafkaBus,
    state: StateLog,
    events: EventLog,
    media: MediaFeed,
) -> None:
    await unopened.start()
    reader, tail = await state.open_reader(), await media.open_tail(KEY)
    await events.open_consumer("ingest")
    reading = asyncio.create_task(reader.read())
    following = asyncio.ensure_future(anext(aiter(tail), None))
    if silent:
        broker.stop()
    else:
        broker.kill()
    append = asyncio.create_task(state.append(record("camera", 1)))
    media.offer(record(KEY, 1))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await unopened.close()
        assert await following is None
        with pytest.raises(BusError):
            await append
        with pytest.raises(BusError):
            await reading


async def test_starting_without_a_broker_fails_and_leaves_nothing_open(
    broker: KafkaBroker, unopened: KafkaBus
) -> None:
    broker.kill()
    with pytest.raises(BusError, match="connecting"):
        await unopened.start()


async def test_ports_taken_before_a_start_that_failed_serve_after_one_that_did_not(
    broker: KafkaBroker, unopened: KafkaBus, state: StateLog, events: EventLog, media: MediaFeed
) -> None:
    broker.kill()
    with pytest.raises(BusError, match="connecting"):
        await unopened.start()
    broker.start()
    await unopened.start()
    try:
        await append_at_last(state, record("camera", 1))
        await append_at_last(events, record("camera", 1))
        assert (await through_again(media, aiter(await media.open_tail(KEY))))[-1] >= 1_000
    finally:
        await unopened.close()


@pytest.mark.parametrize("in_a_round", [False, True], ids=["between rounds", "in a round"])
async def test_a_consumer_that_no_longer_looks_for_its_group_says_so_and_another_goes_on(
    in_a_round: bool, broker: KafkaBroker, topics: Mapping[str, Topic]
) -> None:
    """Its broker answers all the time, and it reads: only its membership is waited for in vain."""
    settings = KafkaSettings(
        bootstrap=broker.bootstrap, request_timeout_s=REQUEST_TIMEOUT_S, session_timeout_s=SHORT_SESSION_S
    )
    bus = KafkaBus(settings, SystemClock(), topics={topic.name: topic for topic in topics.values()})
    await bus.start()
    try:
        events = bus.event_log(topics["events"].name)
        await events.append(record(KEY, 1))
        stuck, sound = await events.open_consumer("stuck"), await events.open_consumer("sound")
        assert [each.record.value for each in await read_events(stuck, 1)] == [b"1"]
        await look_no_more(stuck, in_a_round=in_a_round)
        with pytest.raises(BusError, match="has not counted this member"):
            await soon(stuck.read())
        await soon(stuck.close())
        assert still_running(stuck) == []
        again = await events.open_consumer("stuck")
        assert [each.record.value for each in await read_events(again, 1)] == [b"1"], "it never committed"
        await again.commit()
        await events.append(record(KEY, 2))
        assert len(await read_events(sound, 2)) == 2, "who is counted is given up by nobody"
    finally:
        await bus.close()


async def look_no_more(consumer: KafkaConsumer, *, in_a_round: bool) -> None:
    """What outages close together can do to aiokafka: it knows no coordinator, and its search for one hangs."""
    client = consumer.poller.consumer
    await client._coordinator._coordinator_lookup_lock.acquire()
    client._coordinator.coordinator_dead()
    if in_a_round:
        client._subscription.begin_reassignment()


def still_running(consumer: KafkaConsumer) -> list[object]:
    """Tasks and connections of a closed consumer: left to themselves they would go on for ever."""
    client = consumer.poller.consumer
    coordinator, fetcher = client._coordinator, client._fetcher
    tasks = [
        *(coordinator._coordination_task, coordinator._heartbeat_task, coordinator._commit_refresh_task),
        *(fetcher._fetch_task, *fetcher._pending_tasks),
    ]
    connections = client._client._conns.values()
    return [task for task in tasks if task is not None and not task.done()] + [
        connection for connection in connections if connection.connected()
    ]
