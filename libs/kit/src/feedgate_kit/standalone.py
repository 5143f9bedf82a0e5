"""A service in a process of its own: the connections that only it uses live as long as it does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Service
from feedgate_kit.supervise import background
from feedgate_kit.topics import TopicError


def owning(
    service: Service, *, bus: Bus, verifier: TokenVerifier, database: Database | None = None
) -> Service:
    """`service`, whose lifespan now also starts the bus and lets go of everything at the end.

    Args:
        service: changed in place.
        bus: started beside the service, as soon as it can be reached and its topics are as their files
            say; until then the service is without it, and in the second case unready by name.
        verifier: closed at the end.
        database: closed at the end.
    """
    own_lifespan = service.lifespan
    clock = SystemClock()
    connecting = _Connecting(bus)
    service.readiness.add("Kafka's topics as their files say", lambda: connecting.topics_are_right)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            if database is not None:
                resources.push_async_callback(database.close)
            await resources.enter_async_context(verifier)
            resources.push_async_callback(bus.close)
            # Beside the service, not before it: an owner can stop while Kafka is down, also from the start.
            await resources.enter_async_context(background({"connect to the bus": connecting.run}, clock))
            await resources.enter_async_context(own_lifespan())
            yield

    service.lifespan = lifespan
    return service


class _Connecting:
    """Starts the bus, and remembers whether topics stood in the way."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.topics_are_right = True

    async def run(self) -> None:
        try:
            await self._bus.start()
        except TopicError:
            self.topics_are_right = False
            raise
        self.topics_are_right = True
