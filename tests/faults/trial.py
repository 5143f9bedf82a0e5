"""One fault from its beginning to its verdict."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError

from tests.faults.faults import Fault
from tests.faults.judgement import Verdict, judge
from tests.faults.recording import Recording, ViewRecord, Window
from tests.faults.world import World

BEFORE_S: Final = 1.5
"""With nothing wrong and owners stopping, before it strikes."""
SEEN_WITHIN_S: Final = 5.0
"""By everybody, just before it strikes; a viewer whose owner has just stopped may not."""
BACK_WITHIN_S: Final = 60.0
RECORDED_WITHIN_S: Final = 20.0
"""For what waits on the bus to be on record, once everything runs again."""
LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Trial:
    """A fault and what it did."""

    fault: Fault
    verdict: Verdict
    took_s: float


class Trials:
    """One after the other, in one world: each window begins where the last one ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ended: list[ViewRecord] = []
        """The views that ended in the last window."""
        self._began_s = time.monotonic()

    async def run(self, fault: Fault) -> Trial:
        """Strike, wait, mend, wait until everybody sees again, judge."""
        world, owners = self.world, self.world.owners
        owners.stopping.set()
        await asyncio.sleep(BEFORE_S)
        await world.crowd.blind_after(SEEN_WITHIN_S)
        struck_s = time.monotonic()
        async with fault.strike(world):
            owners.let_one_stop()
            await asyncio.sleep(fault.hold_s)
            healed_s = time.monotonic()
        owners.stopping.clear()
        await owners.until_all_share(BACK_WITHIN_S)
        blind = await world.crowd.blind_after(BACK_WITHIN_S)
        window = Window(self._began_s, struck_s, healed_s, time.monotonic())
        verdict = await self._judged(fault, window)
        verdict.blind += [
            f"viewer {viewer.number} sees nothing in the end: {viewer.last_told()}" for viewer in blind
        ]
        if not verdict.stops:
            verdict.untried.append("no owner stopped")
        began_s, self._began_s = self._began_s, window.ended_s
        self.ended = [
            view.record for view in world.views() if (view.record.closed_s or window.ended_s) < window.ended_s
        ]
        self._forget_before(window.ended_s)
        return Trial(fault, verdict, time.monotonic() - began_s)

    async def _judged(self, fault: Fault, window: Window) -> Verdict:
        """As soon as nothing is missing any more, or in the end."""
        deadline_s = time.monotonic() + RECORDED_WITHIN_S
        while True:
            tickets_taken = dict(self.world.tickets_taken)  # by now: more are taken while records are read
            try:
                await self.world.records.read()
            except (OSError, asyncpg.PostgresError, KafkaError, TimeoutError):
                is_read = False  # not everybody is back yet
            else:
                is_read = True
            verdict = judge(self._recording(fault, window, tickets_taken))
            if (is_read and not verdict.findings) or time.monotonic() > deadline_s:
                return verdict
            await asyncio.sleep(LOOK_S)

    def _recording(self, fault: Fault, window: Window, tickets_taken: Mapping[str, int]) -> Recording:
        world, records = self.world, self.world.records
        by_clock = fault.target == "ingest" and fault.how.startswith("clock")
        return Recording(
            window=window,
            rights_unknown=fault.rights_unknown,
            issuer_struck=fault.target == "issuer",
            relay_struck=fault.breaks_connections,
            relay_died=(fault.target, fault.how) == ("relay", "SIGKILL"),
            shares=world.owners.shares,
            stops=world.owners.stops,
            views=[_clipped(view.record, window) for view in world.views()],
            withdrawn=records.withdrawn,
            withdrawals_on_record=records.withdrawals_on_record,
            views_started=records.views_started,
            views_ended=records.views_ended,
            given_on_record=records.given_on_record,
            tickets_on_record=records.tickets_on_record,
            tickets_taken=tickets_taken,
            agency_told=records.agency_told,
            captured_s={} if by_clock else records.captured_s,
        )

    def _forget_before(self, at_s: float) -> None:
        self.world.crowd.forget_before(at_s)
        self.world.trespasser.forget_before(at_s)
        self.world.records.forget_pictures()


def _clipped(view: ViewRecord, window: Window) -> ViewRecord:
    """Cut to the window: what lies outside is left out, and a view that ended after it counts as open."""
    first = bisect_left(view.pictures_s, window.began_s)
    last = bisect_left(view.pictures_s, window.ended_s)
    return replace(
        view,
        pictures_s=view.pictures_s[first:last],
        sequences=view.sequences[first:last],
        sent_us=view.sent_us[first:last],
        told=[told for told in view.told if told.at_s < window.ended_s],
        closed_s=None if view.closed_s is None or view.closed_s >= window.ended_s else view.closed_s,
    )
