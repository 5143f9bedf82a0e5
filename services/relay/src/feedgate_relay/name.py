"""A relay's name, which is its alone: gateways send second sockets by it, ingest tells demand apart by it.

Every relay says its name where all of them listen. Of two with one name the one that said it first answers,
and the other ends. An answer is owed at once: one that comes to its senses later has been replaced meanwhile.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from feedgate_kit.clock import MICROSECONDS
from feedgate_kit.errors import SERVICES_PAGE, OperatorError
from feedgate_kit.ids import new_id

ANSWERED_WITHIN_US: Final = 5 * MICROSECONDS


class NameTakenError(OperatorError):
    """Another relay has this one's name."""

    page = SERVICES_PAGE


@dataclass(frozen=True, slots=True)
class Claim:
    """A process says that a name is its own."""

    relay_id: str
    process: str
    answers: str  # the process that said it later; empty: nobody, it begins
    at_us: int


class Name:
    """What one process knows of its own name."""

    def __init__(self, relay_id: str) -> None:
        self.relay_id = relay_id
        self.process = new_id()
        self.is_said = False
        """It has heard its own claim: whoever has the name answered after that, so it has heard the answer too."""
        self._answered: set[str] = set()
        self._taken: asyncio.Event = asyncio.Event()

    def claim(self, now_us: int, answers: str = "") -> Claim:
        """That this process has it."""
        return Claim(self.relay_id, self.process, answers, now_us)

    def mark(self, now_us: int) -> Claim:
        """What only this process heeds: an answer to itself. A claim repeated would be one that comes later."""
        return self.claim(now_us, answers=self.process)

    def hear(self, claim: Claim, now_us: int) -> Claim | None:
        """What to answer, if anything."""
        if claim.relay_id != self.relay_id:
            return None
        if claim.process == self.process:
            self.is_said |= not claim.answers
        elif claim.answers == self.process:
            # Two that begin together may answer each other; then the one that was started first stays.
            if claim.process not in self._answered or claim.process < self.process:
                self._taken.set()
        elif not claim.answers and self.is_said:
            if now_us - claim.at_us < ANSWERED_WITHIN_US:
                self._answered.add(claim.process)
                return self.claim(now_us, answers=claim.process)
            # It had no answer in time, and took this one for dead.
            self._taken.set()
        return None

    async def until_taken(self) -> None:
        """Wait for ever, or until this process must not go on.

        Raises:
            NameTakenError: another one has the name.
        """
        await self._taken.wait()
        raise NameTakenError(
            f"FEEDGATE_RELAY_RELAY_ID: another relay is `{self.relay_id}` already; allowed: a name of its own for"
            " each relay"
        )
