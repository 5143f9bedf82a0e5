"""How a producer is put to rest, also one that Kafka no longer answers."""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed


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
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
    await producer.stop()
