"""A service in a process of its own: the connections that only it uses live as long as it does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedgate_kit.bus.ports import Bus
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.service import Service


def owning(
    service: Service, *, bus: Bus, verifier: TokenVerifier, database: Database | None = None
) -> Service:
    """`service`, whose lifespan now also starts the bus and lets go of everything at the end.

    Args:
        service: changed in place.
        bus: started before the service's own lifespan, closed after it.
        verifier: closed at the end.
        database: closed at the end.
    """
    own_lifespan = service.lifespan

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            if database is not None:
                resources.push_async_callback(database.close)
            await resources.enter_async_context(verifier)
            resources.push_async_callback(bus.close)
            await bus.start()
            await resources.enter_async_context(own_lifespan())
            yield

    service.lifespan = lifespan
    return service
