"""Whether a picture may be shown now: the relay's one decision, asked at every picture and viewer.

    admit = opens_at + margin <= picture.received_at and now < closes_at
            and now - picture.received_at <= max_age
            and picture.mask_version == camera.mask_version
            and (picture.epoch, picture.run) is the newest seen
            and both state copies are fresh

It is asked when a picture arrives, when it leaves the GOP cache, and again when
its bytes are handed to a socket. Everything that does not change from picture
to picture is worked out beforehand (`Window`, `Vouched`, `Picture.shown_until_us`),
so that what is left are eight comparisons. Freshness is among them: no timer
ever closes a window, so none can be late.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from feedgate_kit.clock import MICROSECONDS

NEVER_US: Final = 1 << 62
"""Later than any time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The margins of one deployment (design §4), microseconds."""

    skew_us: int = 500_000
    """How far two hosts' clocks may lie apart: 0 in one process."""
    stall_us: int = 500_000
    """How long a picture may lie unread at ingest before `received_at` is stamped."""
    max_age_us: int = 3_000_000
    """How old a picture may be, also one from the GOP cache."""
    fresh_us: int = 4_000_000
    """How long a heartbeat vouches for what was read before it."""

    @property
    def margin_us(self) -> int:
        """What a picture must have been received after its window opened."""
        return self.skew_us + self.stall_us


class Source:
    """One run of one ingest worker, `(epoch, run)`. Made by `newest.NewestSource`, compared by identity."""

    __slots__ = ("epoch", "run")

    def __init__(self, epoch: tuple[int, int], run: bytes) -> None:
        self.epoch = epoch
        self.run = run


class Admissible(Protocol):
    """What admission asks of a picture."""

    received_at_us: int
    shown_until_us: int
    """`received_at_us` + `Limits.max_age_us`."""
    mask_version: int
    source: Source


class AdmissionWindow(Protocol):
    """What admission asks of a right."""

    @property
    def received_from_us(self) -> int:
        """When the right opened, plus `Limits.margin_us`."""
        ...

    @property
    def closes_at_us(self) -> int:
        """0 while it is shut."""
        ...

    @property
    def mask_version(self) -> int: ...


class Heartbeat(Protocol):
    """The newest heartbeat a state copy has read, as `feedgate_kit.state_copy.Freshness` has it."""

    @property
    def as_of_us(self) -> int: ...

    @property
    def read_at_s(self) -> float: ...


class Vouched:
    """Until when what both state copies hold can be relied on.

    -skew <= now - as_of < fresh, for the oldest and the newest `as_of`, and the
    oldest reading less than `fresh` ago by the monotonic clock.
    """

    __slots__ = ("from_us", "until_s", "until_us")

    def __init__(self, from_us: int, until_us: int, until_s: float) -> None:
        self.from_us = from_us
        self.until_us = until_us
        self.until_s = until_s

    def holds(self, now_us: int, monotonic_s: float) -> bool:
        return self.from_us <= now_us < self.until_us and monotonic_s < self.until_s


NOTHING_VOUCHED: Final = Vouched(NEVER_US, 0, float("-inf"))


def vouched(limits: Limits, *heartbeats: Heartbeat | None) -> Vouched:
    """What all of `heartbeats` vouch for together; nothing if one is missing."""
    read = [heartbeat for heartbeat in heartbeats if heartbeat is not None]
    if not read or len(read) < len(heartbeats):
        return NOTHING_VOUCHED
    return Vouched(
        from_us=max(heartbeat.as_of_us for heartbeat in read) - limits.skew_us,
        until_us=min(heartbeat.as_of_us for heartbeat in read) + limits.fresh_us,
        until_s=min(heartbeat.read_at_s for heartbeat in read) + limits.fresh_us / MICROSECONDS,
    )


def admit(
    picture: Admissible,
    newest: Source | None,
    window: AdmissionWindow,
    vouched: Vouched,
    now_us: int,
    monotonic_s: float,
) -> bool:
    """Whether `picture` may be handed to a viewer with the right `window` at this moment.

    Args:
        picture: what would be shown.
        newest: the newest source seen of its stream.
        window: the viewer's right.
        vouched: how far the state copies can be relied on.
        now_us: the relay's wall clock, read for this call.
        monotonic_s: the relay's monotonic clock, read for this call.
    """
    return (
        window.received_from_us <= picture.received_at_us
        and now_us < window.closes_at_us
        and now_us <= picture.shown_until_us
        and picture.mask_version == window.mask_version
        and picture.source is newest
        and vouched.from_us <= now_us < vouched.until_us
        and monotonic_s < vouched.until_s
    )


class Refusal(StrEnum):
    """Why a picture was not shown; the label of `relay_pictures_refused_total`."""

    WINDOW_CLOSED = "window_closed"
    NOT_FRESH = "not_fresh"
    BEFORE_WINDOW = "before_window"
    TOO_OLD = "too_old"
    OTHER_MASKS = "other_masks"
    NOT_NEWEST = "not_newest"


def why_not(  # noqa: PLR0911 - a list of reasons, each said once
    picture: Admissible,
    newest: Source | None,
    window: AdmissionWindow,
    vouched: Vouched,
    now_us: int,
    monotonic_s: float,
) -> Refusal | None:
    """The weightiest reason `admit` says False for, or None where it says True. Not for the fast path."""
    if now_us >= window.closes_at_us:
        return Refusal.WINDOW_CLOSED
    if not vouched.holds(now_us, monotonic_s):
        return Refusal.NOT_FRESH
    if picture.received_at_us < window.received_from_us:
        return Refusal.BEFORE_WINDOW
    if now_us > picture.shown_until_us:
        return Refusal.TOO_OLD
    if picture.mask_version != window.mask_version:
        return Refusal.OTHER_MASKS
    if picture.source is not newest:
        return Refusal.NOT_NEWEST
    return None
