"""Somebody who goes on trying to look under rights that were withdrawn."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bench.figures import BenchError
from tests.faults.viewers import View

NUMBER: Final = -1
"""In place of a viewer's number, which counts from 0."""
BETWEEN_S: Final = 0.5
LOOKS_S: Final = 1.0
NEWEST: Final = 16
"""Of the withdrawn grants, those that are tried."""


class Trespasser:
    """Opens views with tickets that access-policy would no longer give: the relay alone has to refuse them."""

    def __init__(
        self,
        origin: str,
        withdrawn: Callable[[], Sequence[str]],
        tickets: Mapping[str, dict[str, Any]],
        sign_anew: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        """Try nothing yet.

        Args:
            origin: the relay's.
            withdrawn: grants whose owner's withdrawal was accepted.
            tickets: one that was good, for each grant.
            sign_anew: gives such a ticket a new id and time.
        """
        self.views: list[View] = []
        """Those that were opened."""
        self.attempts = 0
        self._origin = origin
        self._withdrawn = withdrawn
        self._tickets = tickets
        self._sign_anew = sign_anew
        self._random = random.Random(0)

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_S)
            known = [grant_id for grant_id in self._withdrawn() if grant_id in self._tickets]
            if known:
                await self._try(self._random.choice(known[-NEWEST:]))

    def forget_before(self, at_s: float) -> None:
        """Let go of views that had ended by then."""
        self.views = [view for view in self.views if (view.record.closed_s or at_s) >= at_s]

    async def _try(self, grant_id: str) -> None:
        view = View(NUMBER, grant_id)
        self.attempts += 1
        try:
            await view.open(self._origin, self._sign_anew(self._tickets[grant_id]))
            self.views.append(view)
            await asyncio.sleep(LOOKS_S)
        except (BenchError, OSError, TimeoutError):
            pass  # refused, or nobody there: as it should be
        finally:
            view.leave()
