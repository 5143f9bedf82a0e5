"""What access-policy needs from the world."""

from collections.abc import Mapping
from dataclasses import dataclass

from feedgate_access_policy.ticket import TicketKeys
from feedgate_kit.agencies import Agency
from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier


@dataclass(frozen=True, kw_only=True)
class AccessPolicyPorts:
    """Everything `create_app` wires together. The caller opened them and closes them."""

    bus: Bus
    database: Database
    verifier: TokenVerifier
    agencies: Mapping[str, Agency]
    ticket_keys: TicketKeys
    clock: Clock
