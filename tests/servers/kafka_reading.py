"""Everything that lies in a topic of Kafka, as somebody would find it who reads from its beginning."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from feedgate_kit.bus.kafka_settings import OPEN, KafkaSecurity
from feedgate_kit.topics import Topic

PATIENCE_S = 20.0


async def whole_topic(bootstrap: str, topic: Topic, security: KafkaSecurity = OPEN) -> list[ConsumerRecord]:
    """Every record from the beginning to where the topic ended when this was called."""
    options = {"bootstrap_servers": bootstrap, "auto_offset_reset": "earliest", **security.client_options()}
    async with AIOKafkaConsumer(**options) as consumer:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        places = dict.fromkeys(partitions, 0)
        found: list[ConsumerRecord] = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for partition, begin in (await consumer.beginning_offsets(partitions)).items():
                    places[partition] = max(places[partition], begin)  # what was before it is gone meanwhile
                if all(places[partition] >= ends[partition] for partition in partitions):
                    return found
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    found += records
                    places[partition] = records[-1].offset + 1
