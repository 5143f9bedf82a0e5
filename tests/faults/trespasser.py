"""Somebody who goes on trying to look under rights that were withdrawn."""

import asyncio
import random
from collections import Counter
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
        live: Callable[[], Sequence[str]],
        tickets: Mapping[str, dict[str, Any]],
        sign_anew: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        """Try nothing yet.

        Args:
            origin: the relay's.
            withdrawn: grants whose owner's withdrawal was accepted.
            live: grants that somebody may look under.
            tickets: one that was good, for each grant.
            sign_anew: gives such a ticket a new id and time.
        """
        self.views: list[View] = []
        """Those that were opened under withdrawn rights."""
        self.refusals: Counter[str] = Counter()
        """Under withdrawn rights, by what the relay said, or by what went wrong."""
        self.let_in = 0
        """Views under live rights that the same forging opened: so it is the right that is refused."""
        self._origin = origin
        self._withdrawn = withdrawn
        self._live = live
        self._tickets = tickets
        self._sign_anew = sign_anew
        self._random = random.Random(0)

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            await asyncio.sleep(BETWEEN_S)
            if withdrawn := self._known(self._withdrawn()[-NEWEST:]):
                await self._trespass(self._random.choice(withdrawn))
            if live := self._known(self._live()):
                await self._look(self._random.choice(live))

    def forget_before(self, at_s: float) -> None:
        """Let go of views that had ended by then."""
        self.views = [view for view in self.views if (view.record.closed_s or at_s) >= at_s]

    def _known(self, grants: Sequence[str]) -> list[str]:
        return [grant_id for grant_id in grants if grant_id in self._tickets]

    async def _trespass(self, grant_id: str) -> None:
        view = View(NUMBER, grant_id)
        try:
            await self._open(view)
            self.views.append(view)
            await asyncio.sleep(LOOKS_S)
        except (BenchError, OSError, TimeoutError) as error:
            self.refusals[str(error) or type(error).__name__] += 1
        finally:
            view.leave()

    async def _look(self, grant_id: str) -> None:
        view = View(NUMBER, grant_id)
        try:
            await self._open(view)
            self.let_in += 1
        except (BenchError, OSError, TimeoutError):
            pass  # a fault is in the way, or the right has just ended
        finally:
            view.leave()

    async def _open(self, view: View) -> None:
        await view.open(self._origin, self._sign_anew(self._tickets[view.record.grant_id]))
