"""What a run recorded of everybody: owners' calls, viewers' pictures and notices, what was written down.

Times are seconds of this machine's monotonic clock unless their name says otherwise.
"""

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

NO_LEASE = "no_lease"
"""A viewer's own notice: no lease for 3 s, so its page covers itself (the dead-man rule)."""


@dataclass(slots=True)
class ShareRecord:
    """What was open between an owner and the agency: one authorisation, one approved request, one grant."""

    camera_id: str
    authorisation_id: str
    request_id: str
    grant_id: str
    approved_s: float
    """When the supervisor's approval was sent."""


@dataclass(slots=True)
class Stop:
    """An owner who wants no more pictures to be seen."""

    grant_id: str
    authorisation_id: str
    wished_s: float
    """Their first call."""
    sent_s: float = 0.0
    """The call that was accepted; its owner had signed in by then."""
    answered_s: float | None = None
    """Its answer; None while nobody has accepted a call."""
    is_afterwards: bool = False
    """The grant had ended before its owner wished so: nothing is stopped by it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice, as a viewer received it."""

    at_s: float
    code: str
    reason: str
    stamped_us: int = 0  # the relay's clock


@dataclass(slots=True)
class ViewRecord:
    """All that one viewer received in one view."""

    viewer: int
    grant_id: str
    view_id: str
    opened_s: float
    # Three columns, a row for each picture.
    pictures_s: "array[float]" = field(default_factory=lambda: array("d"))
    sequences: "array[int]" = field(default_factory=lambda: array("q"))
    sent_us: "array[int]" = field(default_factory=lambda: array("q"))  # the relay's clock
    told: list[Told] = field(default_factory=list)
    closed_s: float | None = None
    close_reason: str = ""
    """What the close frame said."""
    cut_off: bool = False
    """Its media socket ended without a close frame."""
    left: bool = False
    """The viewer closed it."""

    @property
    def last_words(self) -> list[Told]:
        return [told for told in self.told if told.code in {"stopped", "view_ended"}]


@dataclass(frozen=True, slots=True)
class Window:
    """One fault in time."""

    began_s: float
    struck_s: float
    healed_s: float
    """When what was done was undone: a process started, a network mended."""
    ended_s: float
    """Everybody sees again, or was given up on."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything from the beginning of one fault's window to its end."""

    window: Window
    rights_unknown: bool
    """While the fault lasts nobody can vouch for what owners want: all has to be dark."""
    issuer_struck: bool
    """Owners whose token ends meanwhile cannot sign in to stop."""
    relay_struck: bool
    """Viewers lose their connection by the fault itself."""
    relay_died: bool
    """What it had not yet told the bus died with it."""
    shares: Mapping[str, ShareRecord]  # by grant
    stops: Sequence[Stop]
    """Of the whole run, for none of them may ever be undone."""
    views: Sequence[ViewRecord]
    """With the pictures of this window."""
    withdrawn: Collection[str]
    """Authorisations that registry's database holds as withdrawn."""
    withdrawals_on_record: Collection[str]
    """Authorisations whose withdrawal is in the audit log."""
    views_started: Collection[str]
    """View ids with `view.started` in the audit log."""
    views_ended: Collection[str]
    """View ids with `view.ended` there."""
    given_on_record: Collection[str]
    """Authorisations that the audit log says were given, and requests that it says were approved."""
    tickets_on_record: Mapping[str, int]
    """By grant, from the audit log."""
    tickets_taken: Mapping[str, int]
    """By grant, as operators' programs counted them."""
    agency_told: Collection[str]
    """Grants of whose stop the agency's topic tells."""
    captured_s: Mapping[tuple[str, int], Sequence[float]]
    """When ingest received the pictures that the agency's topic tells of, by grant and sequence; two runs may
    share a number. Empty where ingest's clock was struck."""
