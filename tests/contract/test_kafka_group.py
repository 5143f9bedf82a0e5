"""Members of a Kafka group that hold on to what they were given: handed over, never used by two."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from itertools import count, cycle

import pytest

from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_events import KafkaConsumer
from feedgate_kit.bus.ports import ClosedError, Share, Tenure
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import SystemClock
from feedgate_kit.errors import BusError
from feedgate_kit.topics import DEMAND_EVENTS, apply_topics, load_topics
from tests.contract.reading import PATIENCE_S
from tests.servers.kafka import KafkaBroker

pytestmark = pytest.mark.needs("kafka")

KEYS = [f"camera-{each}" for each in range(60)]
GROUPS = (f"ingest-{each}" for each in count(1))
CLOCK = SystemClock()
BEATS_S = 2.0
"""Some heartbeats of every member."""


class Member:
    """A service that reads, holds what it is given, and lets go when the test allows it."""

    def __init__(self, bus: KafkaBus, group: str) -> None:
        self.bus = bus
        self.group = group
        self.consumer: KafkaConsumer
        self.share: Share | None = None
        self.generations: list[int] = []
        self.changed = asyncio.Event()
        self.may_let_go = asyncio.Event()
        self.may_let_go.set()
        self.was_replaced = asyncio.Event()
        self.holds: set[str] = set()
        """What it uses: all of its share, and what it has not let go of yet."""

    def replaced(self) -> None:
        self.was_replaced.set()

    async def hold(self, share: Share) -> None:
        self.share = share
        self.generations.append(share.generation)
        self.holds |= self.has
        self.changed.set()
        if self.holds - self.has:
            await self.may_let_go.wait()
        self.holds = self.has
        self.changed.set()

    @property
    def has(self) -> set[str]:
        return set() if self.share is None else {key for key in KEYS if self.share.covers(key)}

    async def run(self) -> None:
        self.consumer = await self.bus.event_log(DEMAND_EVENTS).open_consumer(self.group, Tenure(self, 6.0))
        with suppress(ClosedError):
            while True:
                await self.consumer.read()
                with suppress(BusError):
                    await self.consumer.commit()


async def until_divided(members: Iterable[Member]) -> None:
    """Until each key is held by one of the members; never by two on the way."""
    members = list(members)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            held = [key for member in members for key in member.holds]
            assert len(held) == len(set(held)), "a key is never held by two"
            if len(held) == len(KEYS) and all(member.holds for member in members):
                return
            for member in members:
                member.changed.clear()
            waiting = [asyncio.create_task(member.changed.wait()) for member in members]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()


async def until_told_of(member: Member, generation: int) -> None:
    """Until it has heard of the division that another member has heard of."""
    async with asyncio.timeout(PATIENCE_S):
        while member.generations[-1] < generation:
            member.changed.clear()
            await member.changed.wait()


class Group:
    """Members with names, each on a bus of its own as if it were a process."""

    def __init__(self, bootstrap: str, stack: AsyncExitStack) -> None:
        self.name = next(GROUPS)
        self._bootstrap = bootstrap
        self._stack = stack
        self._running: dict[str, asyncio.Task[None]] = {}

    async def join(self, name: str) -> Member:
        bus = KafkaBus(KafkaSettings(bootstrap=self._bootstrap, member=name), CLOCK)
        await bus.start()
        self._stack.push_async_callback(bus.close)
        member = Member(bus, self.name)
        self._running[name] = asyncio.create_task(member.run())
        return member

    async def end(self, member: Member) -> None:
        """Its process ends; its name stays in the group until it times out."""
        await member.bus.close()


@asynccontextmanager
async def a_group(bootstrap: str) -> AsyncIterator[Group]:
    async with AsyncExitStack() as stack:
        yield Group(bootstrap, stack)


@pytest.fixture(scope="module")
def topics_made() -> set[str]:
    return set()


@pytest.fixture
async def group(kafka_bootstrap: str, topics_made: set[str]) -> AsyncIterator[Group]:
    if kafka_bootstrap not in topics_made:
        await apply_topics(kafka_bootstrap, {DEMAND_EVENTS: load_topics()[DEMAND_EVENTS]}, [])
        topics_made.add(kafka_bootstrap)
    async with a_group(kafka_bootstrap) as joined:
        yield joined


async def test_what_moves_is_let_go_of_first_and_the_rest_stays(group: Group) -> None:
    first = await group.join("first")
    await until_divided([first])
    first.may_let_go.clear()
    second = await group.join("second")
    async with asyncio.timeout(PATIENCE_S):
        while len(first.has) == len(KEYS):
            first.changed.clear()
            await first.changed.wait()
        while not second.generations or second.generations[-1] < first.generations[-1]:
            second.changed.clear()
            await second.changed.wait()
    kept = first.has
    assert len(first.holds) == len(KEYS)
    assert len(second.holds) == 0, "nothing is given away that is not let go of"
    first.may_let_go.set()
    await until_divided([first, second])
    assert first.has == kept, "what it kept it has kept all the time"
    assert second.generations[-1] > first.generations[0]


async def test_a_third_takes_some_of_both(group: Group) -> None:
    members = [await group.join("first")]
    for name in ("second", "third"):
        await until_divided(members)
        members.append(await group.join(name))
    await until_divided(members)


async def test_a_restart_in_time_divides_nothing_anew(group: Group) -> None:
    first, second = await group.join("first"), await group.join("second")
    await until_divided([first, second])
    await until_told_of(first, second.generations[-1])
    had, told, generation = second.has, len(first.generations), second.generations[-1]
    await group.end(second)
    again = await group.join("second")
    async with asyncio.timeout(PATIENCE_S):
        while again.has != had:
            again.changed.clear()
            await again.changed.wait()
    assert again.generations == [generation]
    assert len(first.generations) == told, "the other was not even told"


@pytest.mark.parametrize("busy", [False, True], ids=["nothing to read", "much to read"])
async def test_of_two_by_one_name_the_later_goes_on_and_the_earlier_is_told(group: Group, busy: bool) -> None:
    earlier, other = await group.join("first"), await group.join("second")
    await until_divided([earlier, other])
    async with demand(other.bus) if busy else nullcontext():
        later = await group.join("first")
        async with asyncio.timeout(PATIENCE_S):
            await earlier.was_replaced.wait()
        assert earlier.has == set()
        # Its process takes some time to end: it pushes nobody out meanwhile.
        had = len(later.generations)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(BEATS_S):
                await later.was_replaced.wait()
        assert len(later.generations) <= had + 1
        await group.end(earlier)
        earlier.holds.clear()
        await until_divided([later, other])
    assert not later.was_replaced.is_set()
    assert not other.was_replaced.is_set()


@asynccontextmanager
async def demand(bus: KafkaBus) -> AsyncIterator[None]:
    """Records of every key, one after the other, so that members read and commit all the time."""

    async def append() -> None:
        for key in cycle(KEYS):
            await bus.event_log(DEMAND_EVENTS).append(Record(key, b""))

    appending = asyncio.create_task(append())
    try:
        yield
    finally:
        appending.cancel()
        with suppress(asyncio.CancelledError):
            await appending


async def test_what_a_dead_member_had_goes_to_the_others(group: Group) -> None:
    first, second = await group.join("first"), await group.join("second")
    await until_divided([first, second])
    generation = second.generations[-1]
    await group.end(second)
    second.holds.clear()
    await until_divided([first])
    assert first.generations[-1] > generation
    assert second.has == set(), "by then its membership has ended for itself, too"


async def test_a_member_that_is_cut_off_knows_when_it_may_have_been_forgotten(
    kafka_broker: KafkaBroker,
) -> None:
    await apply_topics(kafka_broker.bootstrap, {DEMAND_EVENTS: load_topics()[DEMAND_EVENTS]}, [])
    async with a_group(kafka_broker.bootstrap) as group:
        member = await group.join("first")
        await until_divided([member])
        kafka_broker.stop()
        stopped_at_s = CLOCK.monotonic_s()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while member.has:  # noqa: ASYNC110 - nobody tells: that is the point
                    await asyncio.sleep(0.02)
            assert CLOCK.monotonic_s() - stopped_at_s <= KafkaSettings(bootstrap="").session_timeout_s + 0.1
        finally:
            kafka_broker.cont()
        async with asyncio.timeout(PATIENCE_S):
            while len(member.has) < len(KEYS):  # noqa: ASYNC110 - its share may come back without a word
                await asyncio.sleep(0.02)


async def test_a_member_that_lost_its_id_is_not_taken_for_one_that_was_replaced(group: Group) -> None:
    """As after a round of the group whose result never came: it commits without an id, and then joins anew."""
    member = await group.join("first")
    await until_divided([member])
    await member.bus.event_log(DEMAND_EVENTS).append(Record(KEYS[0], b""))
    async with asyncio.timeout(PATIENCE_S):
        while not member.consumer.partitions.read:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    told = len(member.generations)
    member.consumer.poller.consumer._coordinator.reset_generation()
    with pytest.raises(BusError, match="rebalanced"):
        await member.consumer.commit()
    async with asyncio.timeout(PATIENCE_S):
        while len(member.generations) == told or len(member.has) < len(KEYS):
            member.changed.clear()
            await member.changed.wait()
    assert not member.was_replaced.is_set()


async def test_a_member_that_is_closed_lets_go_whatever_a_round_that_is_still_under_way_says(
    group: Group,
) -> None:
    member = await group.join("first")
    await until_divided([member])
    partitions = member.consumer.poller.consumer.assignment()
    await member.consumer.close()
    assert member.holds == set()
    await member.consumer.partitions.on_partitions_assigned(partitions)
    assert member.has == set()
