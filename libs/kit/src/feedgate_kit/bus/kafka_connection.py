"""What every connection to Kafka shares: who we are, errors in the bus's words, and where a log ends."""

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import ConsumerStoppedError, KafkaError, MessageSizeTooLargeError

from feedgate_kit.bus.kafka_resets import answer_resets
from feedgate_kit.bus.kafka_settings import MAX_MESSAGE_BYTES, KafkaSettings
from feedgate_kit.bus.ports import ClosedError, TooLargeError
from feedgate_kit.bus.record import NO_HEADERS, Record
from feedgate_kit.errors import BusError
from feedgate_kit.supervise import is_cancelled

FETCH_WAIT_MS = 100
"""How long the broker holds a fetch that finds nothing; that connection waits meanwhile."""
POLL_MS = 500
LONGEST_POLL_S = 2 * POLL_MS / 1_000
"""While its group is being divided a consumer polls for as long as that takes, and says nothing."""

_log = structlog.get_logger()

Fetched = Mapping[TopicPartition, list[ConsumerRecord]]


@contextmanager
def bus_errors(doing: str) -> Iterator[None]:
    """Turn what aiokafka raises into `BusError`, saying what was being done.

    Among it is `CancelledError`: aiokafka cancels futures that its own callers wait for when it closes a
    connection or asks for metadata anew. Let through, it would end our task without a word, as if we had.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise BusError(f"{doing}: the client gave up by itself") from error
    except ConsumerStoppedError as error:
        raise ClosedError(f"{doing}: reader is closed") from error
    except MessageSizeTooLargeError as error:
        raise TooLargeError(f"{doing}: the broker takes less than the catalogue says") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusError(f"{doing}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """The error's kind and what it says; aiokafka's own say their kind themselves."""
    kind, said = type(error).__name__, str(error)
    return said if kind in said else f"{kind} {said}".rstrip()


def reaching(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of aiokafka is given."""
    answer_resets()
    return {
        "bootstrap_servers": settings.bootstrap,
        "client_id": settings.client_id,
        **settings.security.client_options(),
    }


def consumer_of(settings: KafkaSettings, **options: Any) -> AIOKafkaConsumer:
    """A consumer that never commits by itself."""
    defaults = {
        **reaching(settings),
        "enable_auto_commit": False,
        "fetch_max_wait_ms": FETCH_WAIT_MS,
        "max_partition_fetch_bytes": MAX_MESSAGE_BYTES,
        "request_timeout_ms": round(settings.request_timeout_s * 1_000),
    }
    return AIOKafkaConsumer(**{**defaults, **options})


async def start(client: AIOKafkaConsumer | AIOKafkaProducer, settings: KafkaSettings) -> None:
    """Start a producer or consumer, or leave nothing open.

    Raises:
        BusError: Kafka cannot be reached.
    """
    try:
        with bus_errors(f"connecting to {settings.bootstrap}"):
            async with asyncio.timeout(settings.request_timeout_s):
                await client.start()
    except BaseException:
        await stop(client, settings)
        raise


async def stop(client: AIOKafkaConsumer | AIOKafkaProducer, settings: KafkaSettings) -> None:
    """Stop a client; a broker that does not answer is not waited for.

    Half way aiokafka's own `stop` may wait for ever, or give up: for a task that waits for another, at a task that
    ended with an error, at a fetch that it has itself cancelled. Its tasks would connect anew, for ever.
    """
    await to_its_end(client.stop(), 2 * settings.request_timeout_s)
    if isinstance(client, AIOKafkaProducer):
        await close_connections(client.client, settings.request_timeout_s)
        return
    await _cancel(_tasks_of(client), settings.request_timeout_s)
    await close_connections(client._client, settings.request_timeout_s)  # noqa: SLF001 - as below


async def close_connections(connections: AIOKafkaClient, patience_s: float) -> None:
    """Close all of a client's connections, also where the task that keeps its metadata ended with an error."""
    keeper, connections._sync_task = connections._sync_task, None  # noqa: SLF001 - `close` would raise that error
    await _cancel([keeper], patience_s)
    if keeper is not None and keeper.done() and not keeper.cancelled() and (error := keeper.exception()):
        _log.warning("client's metadata was kept by nobody", error=repr(error))
    await to_its_end(connections.close(), patience_s)


async def to_its_end(closing: Coroutine[Any, Any, None], patience_s: float) -> None:
    """Run what closes something of aiokafka's, in a task of its own.

    What it raises has no further meaning, and it may raise the `CancelledError` of what it has
    itself cancelled: whoever closes would then end as if it had been cancelled, and be missed by nobody.
    """
    task = asyncio.create_task(closing)
    await asyncio.wait({task}, timeout=patience_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=patience_s)  # aiokafka may swallow that, and wait on
    if not task.done():
        _log.warning("client did not stop", task=repr(task))
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("client did not stop cleanly", error=repr(error))


def _tasks_of(consumer: AIOKafkaConsumer) -> list[asyncio.Task[None] | None]:
    """What runs on in a consumer whose `stop` did not get to its end."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 - nothing public of it ends them
    tasks = [] if fetcher is None else [fetcher._fetch_task, *fetcher._pending_tasks]  # noqa: SLF001 - as above
    if isinstance(coordinator, GroupCoordinator):
        tasks += [
            coordinator._coordination_task,  # noqa: SLF001 - as above
            coordinator._heartbeat_task,  # noqa: SLF001 - as above
            coordinator._commit_refresh_task,  # noqa: SLF001 - as above
        ]
    return tasks


async def _cancel(tasks: Sequence[asyncio.Task[None] | None], patience_s: float) -> None:
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        _, left = await asyncio.wait(running, timeout=patience_s)
        for task in left:
            _log.warning("client's task did not end", task=repr(task))


class FetchedHeaders(Mapping[str, str]):
    """Headers as they came, each made text when it is asked for: of a state record's eight two are."""

    __slots__ = ("_fetched",)

    def __init__(self, fetched: Sequence[tuple[str, bytes]]) -> None:
        self._fetched = fetched

    def __getitem__(self, name: str) -> str:
        for each, value in reversed(self._fetched):  # of two of one name the later counts
            if each == name:
                return value.decode(errors="replace")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name: None for name, _ in self._fetched})

    def __len__(self) -> int:
        return len({name for name, _ in self._fetched})

    def __repr__(self) -> str:
        return repr(dict(self))


def record_of(fetched: ConsumerRecord) -> Record:
    """What Kafka gave us; a producer we do not know may have left the key out."""
    headers = FetchedHeaders(fetched.headers) if fetched.headers else NO_HEADERS
    return Record((fetched.key or b"").decode(errors="replace"), fetched.value or b"", headers)


def headers_of(record: Record) -> list[tuple[str, bytes]]:
    """Headers as Kafka takes them."""
    return [(name, value.encode()) for name, value in record.headers.items()]


class Poller:
    """Reads a consumer. What a cancelled read had already fetched is there for the next one."""

    def __init__(self, consumer: AIOKafkaConsumer, settings: KafkaSettings) -> None:
        self.consumer = consumer
        self._settings = settings
        self._polling: asyncio.Task[Fetched] | None = None
        self._closing = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    async def poll(self) -> Fetched:
        """What has come within a while, perhaps nothing. Nothing is no sign that nothing is there.

        Raises:
            ClosedError: `close` was called, before or meanwhile.
            BusError: it could not be read, or the client's own task that fetches has ended, of which it says nothing.
        """
        if self._closing.is_set():
            raise ClosedError("reader is closed")
        if (fetcher := self.consumer._fetcher) is not None and fetcher._fetch_task.done():  # noqa: SLF001 - as above
            raise BusError("reading: the client fetches no more")
        if self._polling is None:
            self._polling = asyncio.create_task(self.consumer.getmany(timeout_ms=POLL_MS))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait(
                {self._polling, closing}, timeout=LONGEST_POLL_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            closing.cancel()
        if self._closing.is_set():
            raise ClosedError("reader is closed")
        if not self._polling.done():
            return {}
        polled, self._polling = self._polling, None
        with bus_errors("reading"):
            return polled.result()

    async def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait({self._polling})
        await stop(self.consumer, self._settings)


class LogEdges:
    """Where logs begin and end, asked on a connection of its own.

    On a reader's connection the question would wait behind a fetch that the
    broker is holding back.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        consumer = consumer_of(self._settings)
        await start(consumer, self._settings)
        self._consumer = consumer

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset after the last record of each, as it was after this call began."""
        with bus_errors("asking where logs end"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                return dict(await self._open().end_offsets(list(partitions)))

    async def beginnings(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset of the first record of each that has not expired."""
        with bus_errors("asking where logs begin"):
            async with asyncio.timeout(self._settings.request_timeout_s):
                return dict(await self._open().beginning_offsets(list(partitions)))

    async def close(self) -> None:
        if self._consumer is not None:
            await stop(self._consumer, self._settings)
            self._consumer = None

    def _open(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise ClosedError("bus is not open")
        return self._consumer
