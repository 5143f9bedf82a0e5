"""What registry needs from the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from feedgate_kit.addresses import Address
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity import TokenVerifier
from feedgate_registry.jurisdictions import Jurisdictions
from feedgate_registry.pools import Pool


class UnresolvableError(FeedgateError):
    """A host has no address that could be learned."""


class Resolver(Protocol):
    """Names to addresses."""

    async def resolve(self, host: str) -> Sequence[Address]:
        """Every address of `host`, at least one.

        Raises:
            UnresolvableError: there is none, or no answer in time.
        """
        ...


@dataclass(frozen=True, slots=True)
class RegistryPorts:
    """Everything `create_app` wires together. The caller opened them and closes them."""

    database: Database
    bus: Bus
    clock: Clock
    resolver: Resolver
    verifier: TokenVerifier
    agencies: Mapping[str, Agency]
    pools: Mapping[str, Pool]
    jurisdictions: Jurisdictions
