"""What is closed while it is still beginning ends in order: on the event loop that services run on."""

import asyncio

import pytest
import uvloop
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from feedgate_kit.bus.kafka import KafkaBus, KafkaSettings
from feedgate_kit.bus.kafka_topics import open_admin
from feedgate_kit.clock import SystemClock
from feedgate_kit.topics import apply_topics
from tests.contract.conftest import NUMBERS, named_state, own_topics
from tests.servers.kafka import KafkaBroker, KafkaCluster

pytestmark = pytest.mark.needs("kafka")

TIMES = 20
KAFKA_NODE = 1
ALL_WITHIN_S = 40.0
"""It takes two seconds; where the end of a TLS connection is waited for, ten seconds in every other try."""


def test_a_reader_closed_at_once_is_closed_at_once_and_cancels_nobody(secured_kafka: KafkaCluster) -> None:
    """aiokafka leaks the cancellation of a connection that ends while it begins; over TLS in every other try."""
    topics, bootstrap, security = (
        own_topics(next(NUMBERS)),
        secured_kafka.bootstrap,
        secured_kafka.administrator,
    )

    async def cancelled() -> int:
        await apply_topics(bootstrap, topics, [], security=security)
        bus = KafkaBus(KafkaSettings(bootstrap=bootstrap, security=security), SystemClock(), topics=topics)
        await bus.start()

        async def open_and_close() -> None:
            reader = await bus.state_log(named_state(topics)).open_reader()
            await reader.close()
            async with open_admin(bootstrap, 10, security):
                pass

        tasks = []
        async with asyncio.timeout(ALL_WITHIN_S):
            for _ in range(TIMES):
                tasks.append(asyncio.create_task(open_and_close()))
                await asyncio.wait(tasks)
        await bus.close()
        return sum(task.cancelled() for task in tasks)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(cancelled()) == 0


def test_a_request_on_a_connection_that_broke_a_moment_ago_is_answered_in_aiokafkas_own_words(
    kafka_broker: KafkaBroker,
) -> None:
    """uvloop's are another error, and ended whatever task of aiokafka's asked in that moment."""

    async def answer() -> object:
        bus = KafkaBus(KafkaSettings(bootstrap=kafka_broker.bootstrap), SystemClock())
        await bus.start()
        try:
            client = bus._edges._open()._client
            assert await client.ready(KAFKA_NODE)
            connection = client._conns[KAFKA_NODE, ConnectionGroup.DEFAULT]
            connection._writer.transport.abort()
            await asyncio.sleep(0)  # the transport is gone; aiokafka has not heard of it
            assert connection._writer is not None
            return connection.send(MetadataRequest([]))
        finally:
            await bus.close()

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(KafkaConnectionError, match="is closed"),
    ):
        runner.run(answer())
