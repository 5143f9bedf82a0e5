"""Access-policy's ticket keys as the relay remembers them, so that views open while it is down."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from feedgate_kit.clock import Clock
from feedgate_kit.errors import FeedgateError
from feedgate_kit.identity.key_sets import read_keys
from feedgate_relay.ports import TicketKeySource
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import ALGORITHM, TicketError

REFRESH_S: Final = 10.0
"""How often the set is asked for again, which is how long a key taken out of use still opens views, and how long
the next one is published before it signs."""
LEAST_PAUSE_S: Final = 1.0
"""Between two questions caused by unknown key ids: strangers can send as many as they like."""

logger = structlog.get_logger(__name__)


class TicketKeys:
    """Public keys by key id."""

    def __init__(self, source: TicketKeySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._asked_at_s = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether any key is known, so that a view could open."""
        return bool(self._keys)

    async def key(self, kid: str) -> Ed25519PublicKey:
        """The key of a key id, asking access-policy where it is unknown.

        Raises:
            TicketError: there is no such key, or it cannot be asked for now.
        """
        known = self._keys.get(kid)
        if known is not None:
            return known
        failed = False
        async with self._lock:
            if kid not in self._keys and self._clock.monotonic_s() - self._asked_at_s >= LEAST_PAUSE_S:
                failed = not await self._refresh()
        known = self._keys.get(kid)
        if known is not None:
            return known
        if failed or not self._keys:
            raise TicketError(Reason.TICKET_KEYS_UNAVAILABLE, "access-policy's ticket keys cannot be had now")
        raise TicketError(Reason.TICKET_INVALID, "the ticket names a key that access-policy does not use")

    async def run(self) -> None:
        """Ask again every so often, every few seconds while none is known; until cancelled."""
        while True:
            async with self._lock:
                await self._refresh()
            await asyncio.sleep(REFRESH_S if self._keys else 2 * LEAST_PAUSE_S)

    async def _refresh(self) -> bool:
        self._asked_at_s = self._clock.monotonic_s()
        try:
            keys = _ed25519_keys(await self._source.fetch())
        except FeedgateError as error:
            logger.warning("ticket keys not refreshed", error=str(error), known=len(self._keys))
            return False
        if not keys:
            return False
        if keys.keys() != self._keys.keys():
            logger.info("ticket keys changed", key_ids=sorted(keys))
        self._keys = keys
        return True


def _ed25519_keys(document: Mapping[str, Any]) -> dict[str, Ed25519PublicKey]:
    """Those tickets are signed with; another kind is perhaps a later relay's."""
    return {
        key.kid: key.public_key
        for key in read_keys(document)
        if key.kid and key.algorithm in {None, ALGORITHM} and isinstance(key.public_key, Ed25519PublicKey)
    }
