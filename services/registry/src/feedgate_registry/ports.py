"""What registry needs from the world."""

from collections.abc import Mapping
from dataclasses import dataclass

from feedgate_kit.agencies import Agency
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier
from feedgate_kit.resolver import Resolver
from feedgate_registry.jurisdictions import Jurisdictions
from feedgate_registry.pools import Pool


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
