"""What may never happen, found in what was recorded. Nothing here asks the product what it thinks of itself.

Each finding is a sentence. The bounds are the documented ones (design §4) and, where a viewer's own reading
may be late, what a busy machine may add.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from tests.faults.recording import NO_LEASE, Recording, ShareRecord, Stop, Told, ViewRecord

DARK_S: Final = 5.0
"""4 s of freshness, 0.5 s between clocks, and half a second for the way to a viewer."""
SHOWN_AGE_S: Final = 3.0
"""No picture older than this is shown."""
READING_S: Final = 0.5
"""How late a viewer may read what lay in its socket."""
AGE_READING_S: Final = 2.0
"""The same for a picture's age, which another process's clock began."""
HANDED_ON_S: Final = 2.0
"""A relay that is killed has not told the agency of what it told viewers this shortly before."""
BROKEN_S: Final = 4.0
"""How long after the end of a fault a viewer finds out that its connection is broken: 3 s without a lease."""
SILENT_S: Final = 4.5
"""Pictures may stop for 3 s before it is said, at a check every 0.25 s; then a viewer has to know why."""
GAP_S: Final = 2.0
"""Pictures that stay away for longer have stopped."""
SEEING_S: Final = 2.0
"""A viewer with a picture as new as this sees."""

UNCOVERED: Final = frozenset({"started", "resumed", "expiring", "gap"})
UNKNOWN_RIGHT: Final = frozenset({"not_fresh", NO_LEASE, "closed"})
"""A view goes dark because it cannot be known whether it may go on."""


@dataclass(slots=True)
class Verdict:
    """What one fault did to people."""

    dark_within_s: float | None = None
    """From a fault in which nobody can vouch for rights to the last picture of any view; None: it was none."""
    dark_after_s: float | None = None
    """The same of another fault, where views went dark because of what came of it in its own time; None: none did."""
    stops: int = 0
    """Owners' calls that were accepted."""
    stop_within_s: float | None = None
    """From an owner's call to the last picture of theirs that anybody received; None: nobody called."""
    back_in_s: float | None = None
    """From the end of the fault until every viewer whose right went on sees again; None: nobody's pictures stopped."""
    blind: list[str] = field(default_factory=list)
    """Viewers whose pictures did not come back."""
    outside: list[str] = field(default_factory=list)
    withdrawals_lost: list[str] = field(default_factory=list)
    audit_lost: list[str] = field(default_factory=list)
    notices_missing: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    """What nobody did in it, so that nothing is known."""
    bounded_stop_s: float | None = None
    """`stop_within_s` without calls that were refused because their owners could not sign in."""
    cut_off: int = 0
    """Views without an end in the audit log because the relay that had them died: documented, and counted apart."""

    @property
    def findings(self) -> list[str]:
        """Everything that may never happen and did."""
        return [
            *self.outside,
            *self.withdrawals_lost,
            *self.audit_lost,
            *self.notices_missing,
            *self.blind,
            *self.too_slow,
            *self.untried,
        ]

    @property
    def too_slow(self) -> list[str]:
        """What took longer than the bound."""
        slow_s = self.slowest_dark_s
        return [f"pictures for {slow_s:.2f} s; allowed: {DARK_S:g} s"] if slow_s > DARK_S else []

    @property
    def unbounded_stop_s(self) -> float | None:
        """`stop_within_s` where that is not `bounded_stop_s`."""
        return None if self.stop_within_s == self.bounded_stop_s else self.stop_within_s

    @property
    def slowest_dark_s(self) -> float:
        """Of what has to come within the bound."""
        return max(self.dark_within_s or 0.0, self.bounded_stop_s or 0.0)


def judge(recording: Recording) -> Verdict:
    """The verdict on one fault."""
    back_in_s, blind = _back(recording)
    audit_lost, cut_off = _audit_lost(recording)
    dark_s = _last_before_dark(recording)
    return Verdict(
        dark_within_s=dark_s if recording.rights_unknown else None,
        dark_after_s=None if recording.rights_unknown else dark_s,
        stops=sum(stop.answered_s is not None for stop in _of_this_window(recording)),
        stop_within_s=_stop_within(recording, with_refused=True),
        bounded_stop_s=_stop_within(recording, with_refused=not recording.issuer_struck),
        back_in_s=back_in_s,
        blind=blind,
        outside=[found for view in recording.views for found in _outside(recording, view)],
        withdrawals_lost=list(_withdrawals_lost(recording)),
        audit_lost=audit_lost,
        notices_missing=[found for view in recording.views for found in _notices_missing(recording, view)],
        cut_off=cut_off,
    )


# When it went dark.


def _last_before_dark(recording: Recording) -> float | None:
    """From the fault to the last picture of any view that went dark because its right could not be known."""
    window = recording.window
    stopped_s = {stop.grant_id: stop.sent_s for stop in _accepted(recording)}
    dark = []
    for view in recording.views:
        if not _sees(view, window.struck_s):
            continue
        told = _first_told(view, window.struck_s, window.healed_s + DARK_S)
        if told is not None and told.at_s < stopped_s.get(view.grant_id, float("inf")):
            last_s = _last_before(view, told.at_s + READING_S)
            dark.append(max(0.0, last_s - window.struck_s))
    return max(dark, default=None)


def _first_told(view: ViewRecord, from_s: float, until_s: float) -> Told | None:
    """The first notice that a right could not be known, or the loss of the connection without a last word."""
    told_why = view.left or view.last_words
    closed = [] if view.closed_s is None or told_why else [Told(view.closed_s, "closed", view.close_reason)]
    return next(
        (
            told
            for told in [*view.told, *closed]
            if told.code in UNKNOWN_RIGHT and from_s <= told.at_s <= until_s
        ),
        None,
    )


def _stop_within(recording: Recording, *, with_refused: bool) -> float | None:
    """The slowest stop: an accepted call counts to the last picture there ever was of that grant.

    One that could not be made at once, or failed at first, also counts from when it was wished for to when
    pictures first stopped.
    """
    within = [0.0]
    for stop in _of_this_window(recording):
        views = [view for view in recording.views if view.grant_id == stop.grant_id]
        if stop.answered_s is not None:
            within += [_last(view) - stop.sent_s for view in views if view.pictures_s]
        if with_refused and (stop.answered_s is None or stop.wished_s != stop.sent_s):
            within += [_first_dark(view, stop.wished_s) - stop.wished_s for view in views if view.pictures_s]
    return max(within) if _of_this_window(recording) else None


def _first_dark(view: ViewRecord, from_s: float) -> float:
    """The last picture before pictures first stop, at or after a moment."""
    times = view.pictures_s[bisect_left(view.pictures_s, from_s) :]
    if not times or times[0] - from_s > GAP_S:
        return from_s
    return next((before for before, after in pairwise(times) if after - before > GAP_S), times[-1])


# When it came back.


def _back(recording: Recording) -> tuple[float | None, list[str]]:
    window = recording.window
    stopped = _stopped_grants(recording)
    seeing = [
        view for view in recording.views if view.grant_id not in stopped and _sees(view, window.struck_s)
    ]
    back, blind = [], []
    any_stopped = False
    for view in seeing:
        times = _all_pictures(recording, view)
        struck = bisect_left(times, window.struck_s)
        any_stopped |= any(after - before > GAP_S for before, after in pairwise(times[max(0, struck - 1) :]))
        first = bisect_left(times, window.healed_s)
        if first == len(times):
            blind.append(f"viewer {view.viewer} saw nothing again under grant {view.grant_id}")
        else:
            back.append(times[first] - window.healed_s)
    return (max(back, default=None) if any_stopped else None), blind


def _all_pictures(recording: Recording, view: ViewRecord) -> list[float]:
    """Of one viewer under one grant, in whichever view."""
    return sorted(
        at_s
        for other in recording.views
        if (other.viewer, other.grant_id) == (view.viewer, view.grant_id)
        for at_s in other.pictures_s
    )


# Pictures outside the rule.


def _outside(recording: Recording, view: ViewRecord) -> list[str]:
    """One sentence for each picture, by the first rule that it is outside of."""
    by_row: dict[int, str] = {}
    for why, rows in _rows_outside(recording, view):
        for row in rows:
            by_row.setdefault(row, f"a picture {why}")
    return [by_row[row] for row in sorted(by_row)]


def _rows_outside(recording: Recording, view: ViewRecord) -> Iterator[tuple[str, Iterable[int]]]:
    window = recording.window
    for last_word in view.last_words[:1]:
        yield f"after `{last_word.code}`, in view {view.view_id}", _after_the_word(view, last_word)
    yield f"while the view was covered, {view.view_id}", _while_covered(view)
    stop = next((stop for stop in _accepted(recording) if stop.grant_id == view.grant_id), None)
    if stop is not None and stop.answered_s is not None:
        late = _rows(view, stop.answered_s + DARK_S, float("inf"))
        yield f"more than {DARK_S:g} s after the withdrawal of {stop.authorisation_id}", late
    if recording.rights_unknown:
        unvouched = _rows(view, window.struck_s + DARK_S, window.healed_s)
        yield f"while nobody could vouch for the right, in view {view.view_id}", unvouched
    share = recording.shares.get(view.grant_id)
    if share is None:
        yield f"without a grant, in view {view.view_id}", range(len(view.pictures_s))
    else:
        yield from _of_another_time(recording, view, share)


def _rows(view: ViewRecord, after_s: float, until_s: float) -> range:
    """Of the pictures received after one moment and before another."""
    return range(bisect_right(view.pictures_s, after_s), bisect_left(view.pictures_s, until_s))


def _after_the_word(view: ViewRecord, last_word: Told) -> Iterator[int]:
    """A picture that was on its way may be read just after it; one that was sent later may not."""
    for row in _rows(view, last_word.at_s, float("inf")):
        if view.pictures_s[row] > last_word.at_s + READING_S or view.sent_us[row] > last_word.stamped_us:
            yield row


def _while_covered(view: ViewRecord) -> Iterator[int]:
    """Pictures between a notice that covers the view and the next that uncovers it."""
    covered_s: float | None = None
    for told in [*view.told, Told(float("inf"), "resumed", "")]:
        if told.code in UNCOVERED and covered_s is not None:
            yield from _rows(view, covered_s + READING_S, told.at_s - READING_S)
            covered_s = None
        elif told.code not in UNCOVERED and covered_s is None:
            covered_s = told.at_s


def _of_another_time(
    recording: Recording, view: ViewRecord, share: ShareRecord
) -> Iterator[tuple[str, list[int]]]:
    """Pictures that were captured before the right began, or too long ago, by the most lenient reading."""
    early, old = [], []
    for row, (at_s, sequence) in enumerate(zip(view.pictures_s, view.sequences, strict=True)):
        captured = [
            captured_s
            for captured_s in recording.captured_s.get((view.grant_id, sequence), ())
            if captured_s <= at_s + READING_S
        ]
        if captured and max(captured) < share.approved_s:
            early.append(row)
        if captured and at_s - max(captured) > SHOWN_AGE_S + AGE_READING_S:
            old.append(row)
    yield f"of the time before grant {view.grant_id}", early
    yield f"older than {SHOWN_AGE_S:g} s, in view {view.view_id}", old


# Withdrawals, records, notices.


def _withdrawals_lost(recording: Recording) -> Iterator[str]:
    for stop in _accepted(recording):
        name = stop.authorisation_id
        if name not in recording.withdrawn:
            yield f"{name}: the withdrawal was accepted and is not in registry's database"
        if name not in recording.withdrawals_on_record:
            yield f"{name}: the withdrawal was accepted and is not in the audit log"
        assert stop.answered_s is not None
        again = [
            view
            for view in recording.views
            if view.grant_id == stop.grant_id and view.pictures_s and _last(view) > stop.answered_s + DARK_S
        ]
        if again:
            yield f"{name}: pictures came again after its withdrawal"


def _audit_lost(recording: Recording) -> tuple[list[str], int]:
    window = recording.window
    lost, cut_off = list(_rights_not_on_record(recording)), 0
    for view in recording.views:
        if view.pictures_s and view.view_id not in recording.views_started:
            lost.append(f"view {view.view_id} showed pictures and its beginning is not on record")
        if view.closed_s is None or view.view_id not in recording.views_started:
            continue
        if view.view_id in recording.views_ended:
            continue
        if recording.relay_died and view.opened_s <= window.struck_s <= view.closed_s + READING_S:
            cut_off += 1
        else:
            lost.append(f"view {view.view_id} ended and its end is not on record")
    return lost, cut_off


def _rights_not_on_record(recording: Recording) -> Iterator[str]:
    for share in recording.shares.values():
        if share.authorisation_id not in recording.given_on_record:
            yield f"{share.authorisation_id}: the authorisation was given and is not on record"
        if share.request_id not in recording.given_on_record:
            yield f"{share.request_id}: the request was approved and that is not on record"
        taken = recording.tickets_taken.get(share.grant_id, 0)
        told = recording.tickets_on_record.get(share.grant_id, 0)
        if told < taken:
            yield f"grant {share.grant_id}: {taken} tickets were given and {told} are on record"


def _notices_missing(recording: Recording, view: ViewRecord) -> Iterator[str]:
    ended_s = recording.window.ended_s if view.closed_s is None else view.closed_s
    for before_s, after_s in pairwise([view.opened_s, *view.pictures_s, ended_s]):
        if after_s - before_s <= SILENT_S or before_s < recording.window.began_s - SILENT_S:
            continue
        if not any(before_s - READING_S <= told.at_s <= before_s + SILENT_S for told in view.told):
            yield f"view {view.view_id}: pictures stopped for {after_s - before_s:.1f} s without a word"
    told_why = view.left or view.last_words or view.close_reason
    if view.closed_s is not None and not told_why and not _by_the_fault(recording, view.closed_s):
        yield f"view {view.view_id} ended without a word"
    stopped_s = next((told.at_s for told in view.told if told.code == "stopped"), None)
    if stopped_s is None or view.grant_id in recording.agency_told:
        return
    struck_s = recording.window.struck_s
    if not (recording.relay_died and struck_s - HANDED_ON_S <= stopped_s <= struck_s + READING_S):
        yield f"grant {view.grant_id}: the agency's topic does not tell of its stop"


def _by_the_fault(recording: Recording, closed_s: float) -> bool:
    """Whether the fault itself broke the connections of the relay when this one ended."""
    window = recording.window
    return recording.relay_struck and window.struck_s <= closed_s <= window.healed_s + BROKEN_S


# Shared.


def _of_this_window(recording: Recording) -> list[Stop]:
    """Those that owners wished for in it, and those that were accepted in it at last."""
    return [
        stop
        for stop in recording.stops
        if not stop.is_afterwards and (stop.answered_s or stop.wished_s) >= recording.window.began_s
    ]


def _stopped_grants(recording: Recording) -> set[str]:
    return {stop.grant_id for stop in recording.stops if not stop.is_afterwards}


def _accepted(recording: Recording) -> list[Stop]:
    return [stop for stop in recording.stops if stop.answered_s is not None]


def _sees(view: ViewRecord, at_s: float) -> bool:
    last_s = _last_before(view, at_s)
    return last_s > 0 and at_s - last_s < SEEING_S


def _last(view: ViewRecord) -> float:
    return view.pictures_s[-1]


def _last_before(view: ViewRecord, at_s: float) -> float:
    """When the last picture before a moment was received; 0 if none was."""
    count = bisect_left(view.pictures_s, at_s)
    return view.pictures_s[count - 1] if count else 0.0
