"""From the bus into the chain: decode, append, commit."""

from collections.abc import Iterable, Sequence

import structlog

from feedgate_audit.facts import Fact, fact_of
from feedgate_audit.metrics import AuditMetrics
from feedgate_audit.store import AuditStore
from feedgate_kit.bus.events import dead_letter
from feedgate_kit.bus.ports import Bus, EventConsumer, EventLog
from feedgate_kit.bus.record import StoredRecord
from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.errors import BusError, UnreadableRecordError
from feedgate_kit.topics import DECISION_EVENTS, audit_events, dead_letters

GROUP = "audit"
TOPICS = (
    audit_events("registry"),
    audit_events("access-policy"),
    audit_events("relay"),
    DECISION_EVENTS,
)

logger = structlog.get_logger(__name__)


class Collector:
    """Takes one topic's facts, in batches as the bus gives them: one transaction on the chain each.

    Hence not the kit's loop, which handles one record after the other.
    """

    def __init__(self, bus: Bus, store: AuditStore, metrics: AuditMetrics, topic: str) -> None:
        self.bus = bus
        self.store = store
        self.metrics = metrics
        self.topic = topic
        self.oldest_waiting_us: int | None = None
        """When the oldest fact occurred that was read and is not yet in the chain."""

    async def run(self) -> None:
        """Collect until cancelled. A failure loses nothing: what was not committed comes again."""
        consumer = await self.bus.event_log(self.topic).open_consumer(GROUP)
        self.oldest_waiting_us = (
            None  # what a failed attempt had read comes again, here or to another process
        )
        try:
            while True:
                batch = await consumer.read()
                await self.collect(batch)
                await self._commit(consumer)
        finally:
            await consumer.close()

    async def _commit(self, consumer: EventConsumer) -> None:
        try:
            await consumer.commit()
        except BusError as error:
            if not error.retriable:
                raise
            logger.warning(
                "progress not committed; facts will come again", topic=self.topic, cause=str(error)
            )

    async def collect(self, batch: Sequence[StoredRecord]) -> None:
        """Add a batch to the chain in one transaction; what is no fact goes to the dead letters."""
        facts: list[Fact] = []
        for stored in batch:
            try:
                facts.append(fact_of(stored.record))
            except UnreadableRecordError as error:
                self.metrics.dead_letters.inc()
                logger.warning(
                    "record is no fact", topic=self.topic, position=stored.position, cause=str(error)
                )
                await self._dead_letters().append(dead_letter(stored, self.topic, error))
        self.oldest_waiting_us = min((fact.occurred_at_us for fact in facts), default=None)
        self._count(facts, await self.store.append(facts))
        self.oldest_waiting_us = None

    def _dead_letters(self) -> EventLog:
        return self.bus.event_log(dead_letters(self.topic))

    def _count(self, facts: Sequence[Fact], added: Sequence[Fact]) -> None:
        self.metrics.repeated.inc(len(facts) - len(added))
        for fact in added:
            self.metrics.entries.labels(fact.type).inc()


def lag_s(collectors: Iterable[Collector], now_us: int) -> float:
    """Age of the oldest fact that any of them has read and not yet added; 0 when there is none."""
    waiting = [each.oldest_waiting_us for each in collectors if each.oldest_waiting_us is not None]
    return max(0.0, (now_us - min(waiting, default=now_us)) / MICROSECONDS)
