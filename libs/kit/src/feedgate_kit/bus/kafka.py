"""The bus of any deployment: Apache Kafka."""

import asyncio
from collections.abc import Mapping

from feedgate_kit.bus.kafka_connection import LogEdges
from feedgate_kit.bus.kafka_control import ControlProducer
from feedgate_kit.bus.kafka_events import KafkaEventLog
from feedgate_kit.bus.kafka_media import KafkaMediaFeed, MediaProducer
from feedgate_kit.bus.kafka_settings import KafkaSettings, kafka_settings
from feedgate_kit.bus.kafka_state import KafkaStateLog
from feedgate_kit.bus.kafka_topics import check_topics
from feedgate_kit.clock import Clock
from feedgate_kit.topics import Topic, find_topic, load_topics

__all__ = ["KafkaBus", "KafkaSettings", "kafka_settings"]


class KafkaBus:
    """Opens every topic of the catalogue on one Kafka cluster, where `feedgate topics apply` made it.

    Two producers: one for state and events, awaited; one for media, which may
    lose. With the broker frozen readers get nothing and no error, so nothing
    here says how fresh anything is.

    Args:
        settings: how to reach Kafka.
        clock: ages pictures, and says how long a group counts its member.
        topics: the packaged catalogue if left out.
        service: whose topics have to be as their files say before anything is opened; None asks nothing.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        *,
        topics: Mapping[str, Topic] | None = None,
        service: str | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = load_topics() if topics is None else topics
        self._service = service
        self._control = ControlProducer(settings)
        self._media = MediaProducer(settings)
        self._edges = LogEdges(settings)
        self._state_logs: dict[str, KafkaStateLog] = {}
        self._event_logs: dict[str, KafkaEventLog] = {}
        self._media_feeds: dict[str, KafkaMediaFeed] = {}

    async def start(self) -> None:
        """Connect. Logs and feeds may be asked for before, and serve once it has.

        Raises:
            BusError: Kafka cannot be reached; no connection is left open, and this may be called again.
            TopicError: a topic is not as its file says; no connection is left open.
        """
        if self._service is not None:
            await check_topics(self._settings, self._topics, self._service)
        try:
            await self._control.start()
            await self._media.start()
            await self._edges.start()
        except BaseException:
            await self._disconnect()  # not the ports: services hold them already
            raise

    def state_log(self, topic: str) -> KafkaStateLog:
        if topic not in self._state_logs:
            found = find_topic(self._topics, topic, "state")
            self._state_logs[topic] = KafkaStateLog(found, self._settings, self._control, self._edges)
        return self._state_logs[topic]

    def event_log(self, topic: str) -> KafkaEventLog:
        if topic not in self._event_logs:
            found = find_topic(self._topics, topic, "events")
            self._event_logs[topic] = KafkaEventLog(
                found, self._settings, self._clock, self._control, self._edges
            )
        return self._event_logs[topic]

    def media_feed(self, topic: str) -> KafkaMediaFeed:
        if topic not in self._media_feeds:
            found = find_topic(self._topics, topic, "media")
            self._media_feeds[topic] = KafkaMediaFeed(
                found, self._settings, self._clock, self._media, self._edges
            )
        return self._media_feeds[topic]

    async def close(self) -> None:
        await asyncio.gather(
            *(log.close() for log in self._state_logs.values()),
            *(log.close() for log in self._event_logs.values()),
            *(feed.close() for feed in self._media_feeds.values()),
        )
        await self._disconnect()

    async def _disconnect(self) -> None:
        await asyncio.gather(self._control.close(), self._media.close(), self._edges.close())
