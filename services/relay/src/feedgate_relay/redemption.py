"""Tickets used up, at whichever relay they are shown: each opens one view over all of them.

Every relay appends what it is shown to one partition and reads that partition; of the records of
a ticket the first decides, and it is the same one for every relay. Nobody is asked: tickets that
were given out open views while access-policy is down.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Final

import structlog
from google.protobuf.message import DecodeError

from feedgate_contracts.ticket.v1.ticket_pb2 import TicketRedeemed
from feedgate_kit.bus.cloudevents import headers_for
from feedgate_kit.bus.events import dead_letter
from feedgate_kit.bus.ports import Bus
from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.clock import Clock
from feedgate_kit.errors import BusError, PositionError, UnreadableRecordError
from feedgate_kit.ids import new_id
from feedgate_kit.topics import TICKET_EVENTS, dead_letters
from feedgate_relay.name import Claim, Name
from feedgate_relay.reasons import Reason
from feedgate_relay.ticket import LONGEST_LIFE_US, Ticket, TicketError

REDEEMED_WITHIN_S: Final = 2.0
"""A ticket whose turn is not known by then opens nothing; its bearer asks for another one."""
MARKED_EVERY_S: Final = 0.25
"""While nothing has been heard yet."""
REPEATED_EVERY_S: Final = 2.0
"""Otherwise: a reader gets nothing and no error from a broker that stands still, so silence says nothing."""
HEARS_FOR_S: Final = 6.0
"""Three of one's own marks missed in a row: what others use is not heard of either."""
MARK: Final = "~relay"
"""Key of the records by which a relay says its name, and finds out that it hears."""

logger = structlog.get_logger(__name__)


class Redemptions:
    """Who was first, for every ticket that can still be used."""

    def __init__(self, bus: Bus, clock: Clock, name: Name) -> None:
        self.heard_since_us: int | None = None
        """From when on this relay has heard of every use; None while it cannot know of any."""
        self.heard_since_s: float | None = None
        """The same by the monotonic clock."""
        self._log = bus.event_log(TICKET_EVENTS)
        self._dead_letters = bus.event_log(dead_letters(TICKET_EVENTS))
        self._clock = clock
        self._name = name
        self._after: str | None = None
        self._used: dict[str, int] = {}  # when each expires
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._marked_s: float | None = None  # when this relay last heard itself
        self._is_deaf = asyncio.Event()
        self._is_deaf.set()

    def __len__(self) -> int:
        return len(self._used)

    @property
    def hears(self) -> bool:
        """Whether this relay hears of tickets at this moment, as far as can be told."""
        return self._marked_s is not None and self._clock.monotonic_s() - self._marked_s < HEARS_FOR_S

    async def redeem(self, ticket: Ticket) -> None:
        """Use it up.

        Raises:
            TicketError: it was used before, here or at another relay, or that cannot be told now.
        """
        if ticket.ticket_id in self._used:
            raise _used()
        attempt = new_id()
        decided = self._waiting[attempt] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(REDEEMED_WITHIN_S):
                await self._append(self._record(ticket.ticket_id, attempt, ticket.expires_at_us))
                is_first = await decided
        except (BusError, TimeoutError) as error:
            raise TicketError(
                Reason.TICKET_USE_UNKNOWN,
                "it cannot be told now whether the ticket was used; ask for a new one",
            ) from error
        finally:
            del self._waiting[attempt]
        if not is_first:
            raise _used()

    async def _append(self, record: Record) -> None:
        """Append a use. One whose acknowledgement was lost may be in the log: whether it is will be heard.

        Raises:
            BusError: it is not in the log, and will not be.
        """
        try:
            await self._log.append(record)
        except BusError as error:
            if not error.retriable:
                raise
            logger.warning("use of a ticket not acknowledged, listening for it", cause=str(error))

    async def listen(self) -> None:
        """Hear of every use until cancelled. After a failure, listening goes on where it ended."""
        try:
            async with aclosing(self._log.tail(self._after)) as records:
                async for stored in records:
                    await self._hear(stored)
                    # Only now: what could not be dealt with, an answer that is owed, is heard again.
                    self._after = stored.position
        except PositionError:
            # Uses were missed: from here on it is as if this relay had just started.
            self._after = self.heard_since_us = self.heard_since_s = self._marked_s = None
            self._is_deaf.set()
            raise

    async def make_heard(self) -> None:
        """Say something often while this relay has heard nothing yet, and now and then to know that it still does."""
        while True:
            try:
                now_us = self._clock.now_us()
                is_new = self._is_deaf.is_set() or not self._name.is_said
                await self._say(self._name.claim(now_us) if is_new else self._name.mark(now_us))
            except BusError as error:
                logger.warning("this relay may not hear of tickets", cause=str(error))
            await asyncio.sleep(MARKED_EVERY_S)
            if not self._name.is_said:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEATED_EVERY_S):
                    await self._is_deaf.wait()

    def forget_expired(self, now_us: int) -> None:
        """Let go of those that could not be used any more."""
        # A clock set back must not bring an id back to life, hence the longest life on top.
        self._used = {jti: at for jti, at in self._used.items() if at + LONGEST_LIFE_US > now_us}

    async def _hear(self, stored: StoredRecord) -> None:
        now_us = self._clock.now_us()
        if self.heard_since_us is None:
            self.heard_since_us, self.heard_since_s = now_us, self._clock.monotonic_s()
            self._is_deaf.clear()
        ticket_id = stored.record.key
        if ticket_id == MARK:
            await self._hear_name(stored.record.value, now_us)
            return
        is_first = ticket_id not in self._used
        try:
            message = TicketRedeemed.FromString(stored.record.value)
        except DecodeError as error:
            # Perhaps a later relay's way to use a ticket: a use it is.
            self._used.setdefault(ticket_id, now_us + LONGEST_LIFE_US)
            letter = dead_letter(stored, TICKET_EVENTS, UnreadableRecordError(f"no use of a ticket: {error}"))
            await self._dead_letters.append(letter)
            return
        self._used.setdefault(ticket_id, message.expires_at.ToMicroseconds())
        decided = self._waiting.get(message.attempt)
        if decided is not None and not decided.done():
            decided.set_result(is_first)

    async def _hear_name(self, value: bytes, now_us: int) -> None:
        try:
            mark = TicketRedeemed.FromString(value)
        except DecodeError:
            return  # a later relay's; it says nothing of tickets
        claim = Claim(mark.relay_id, mark.attempt, mark.ticket_id, mark.expires_at.ToMicroseconds())
        if claim.process == self._name.process:
            if self._marked_s is None:
                logger.info("the other relays know this one", relay_id=claim.relay_id)
            self._marked_s = self._clock.monotonic_s()
        answer = self._name.hear(claim, now_us)
        if answer is not None:
            logger.warning("another relay says this one's name, and is told so", relay_id=claim.relay_id)
            await self._say(answer)

    async def _say(self, claim: Claim) -> None:
        await self._log.append(self._record(claim.answers, claim.process, claim.at_us, key=MARK))

    def _record(self, ticket_id: str, attempt: str, at_us: int, *, key: str = "") -> Record:
        message = TicketRedeemed(ticket_id=ticket_id, relay_id=self._name.relay_id, attempt=attempt)
        message.expires_at.FromMicroseconds(at_us)
        key = key or ticket_id
        headers = headers_for(
            type=message.DESCRIPTOR.full_name, source="relay", subject=key, clock=self._clock
        )
        return Record(key, message.SerializeToString(), headers)


def _used() -> TicketError:
    return TicketError(Reason.TICKET_USED, "the ticket was used before; each opens one view")
