"""A service in a process of its own: the connections that only it uses live as long as it does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Service
from feedgate_kit.supervise import background


def owning(
    service: Service, *, bus: Bus, verifier: TokenVerifier, database: Database | None = None
) -> Service:
    """`service`, whose lifespan now also starts the bus and lets go of everything at the end.

    Args:
        service: changed in place.
        bus: started beside the service, as soon as it can be reached; closed after it.
        verifier: closed at the end.
        database: closed at the end.
    """
    own_lifespan = service.lifespan
    clock = SystemClock()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            if database is not None:
                resources.push_async_callback(database.close)
            await resources.enter_async_context(verifier)
            resources.push_async_callback(bus.close)
            # Beside the service, not before it: an owner can stop while Kafka is down, also from the start.
            await resources.enter_async_context(background({"connect to the bus": bus.start}, clock))
            await resources.enter_async_context(own_lifespan())
            yield

    service.lifespan = lifespan
    return service
