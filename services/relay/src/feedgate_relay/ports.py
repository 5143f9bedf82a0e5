"""What the relay needs from the world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record
from feedgate_kit.clock import Clock
from feedgate_kit.identity import TokenVerifier


class TicketKeySource(Protocol):
    """Where access-policy's public ticket keys are had."""

    async def fetch(self) -> Mapping[str, Any]:
        """The keys now in use, a JWK set (RFC 7517 §5).

        Raises:
            FeedgateError: access-policy gave none; those known stay in use.
        """
        ...


class Connection(Protocol):
    """One WebSocket to a viewer, written to without waiting.

    `write` hands bytes to the kernel at once, as far as it takes them; what it
    does not take makes `can_write` False until it has.
    """

    can_write: bool
    """Open, and everything written before has reached the kernel."""
    lost: bool
    """It has ended."""
    on_writable: Callable[[], None]
    """Called when `can_write` turns True again."""
    on_lost: Callable[[], None]
    """Called once when the connection has ended, whoever ended it: nothing more reaches the kernel."""

    def write(self, frame: bytes) -> None:
        """Frames made by `feedgate_relay.wire`. Nothing happens once the connection is ending."""
        ...

    def has_unsent(self) -> bool:
        """Whether something that was written has not left this machine yet, so that it would come later."""
        ...

    def end(self, code: int, reason: str, within_s: float) -> None:
        """Send a close frame and discard, `within_s` later, what the viewer has not taken by then.

        With 0 everything is discarded now, the close frame too.
        """
        ...


class AppendOnly(Protocol):
    """An event log as far as one who only writes to it is concerned."""

    async def append(self, record: Record) -> None:
        """Return once the record is durable."""
        ...


FindLog = Callable[[str], AppendOnly]
"""The event log of a topic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayPorts:
    """What `create_app` is given."""

    bus: Bus
    """Started before and closed after the service by whoever made it."""
    clock: Clock
    verifier: TokenVerifier
    """Of agencies' system accounts."""
    ticket_keys: TicketKeySource
