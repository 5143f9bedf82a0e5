"""What audit needs from the world."""

from dataclasses import dataclass

from feedgate_kit.bus.ports import Bus
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.identity import TokenVerifier


@dataclass(frozen=True, kw_only=True)
class AuditPorts:
    """Passed in by whoever composes; audit opens none of them itself."""

    bus: Bus
    database: Database
    verifier: TokenVerifier
    clock: Clock
