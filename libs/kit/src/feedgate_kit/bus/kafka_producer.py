"""How a producer is put to rest, also one that Kafka no longer answers."""

import asyncio
from contextlib import suppress
from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from feedgate_kit.bus.kafka_connection import close_connections, to_its_end

STOPPED_WITHIN_S = 5.0


async def stop_producer(producer: AIOKafkaProducer, patience_s: float) -> None:
    """Flush for as long as `patience_s`, then give up what was not taken and close.

    aiokafka's own `stop` waits until every batch is delivered, and an
    idempotent producer never gives up on one: a frozen broker would keep this
    process from ending. Nothing public of it gives up, hence the private names.
    """
    with suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(patience_s):
            await producer.flush()
    sending = producer._sender.sender_task  # noqa: SLF001
    while sending is not None and not sending.done():
        sending.cancel()  # the first ends its loop, each further one a request under way
        await asyncio.wait({sending}, timeout=0.05)
    _give_up(producer)
    await to_its_end(producer.stop(), STOPPED_WITHIN_S)
    await close_connections(producer.client, STOPPED_WITHIN_S)


def _give_up(producer: AIOKafkaProducer) -> None:
    """Fail what was not delivered, so that nobody waits for it, and nobody is told that nobody looked."""
    accumulator = producer._message_accumulator  # noqa: SLF001
    waiting = chain.from_iterable(accumulator._batches.values())  # noqa: SLF001
    batches = [*accumulator._pending_batches, *waiting]  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    for batch in batches:
        batch._drain_waiter.exception()  # noqa: SLF001
