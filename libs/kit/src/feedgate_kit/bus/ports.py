"""The three narrow ports to the bus, and the bus that opens them.

Every back guarantees order per key and at-least-once delivery, and nothing
else; one contract suite asks the same questions of all of them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from feedgate_kit.bus.record import Record, StoredRecord
from feedgate_kit.errors import BusError


class ClosedError(BusError):
    """The reader, or the whole bus, was closed. Asking again will not help."""

    retriable = False


class TooLargeError(BusError):
    """The record is larger than its topic takes; it was not appended."""

    retriable = False


class StateReader(Protocol):
    """A place in a state log, moving from its first record to its last."""

    async def read(self) -> Sequence[Record]:
        """The next records in order, at least one; waits for them as long as it takes."""
        ...

    async def read_to_end(self) -> Sequence[Record]:
        """All records not yet read, up to the end as it was fetched *after* this call began.

        May go further. Empty if nothing is new. Raises a retriable `BusError`
        if the end cannot be learned or reached; what was read until then is
        returned by the next call, so nothing is skipped.
        """
        ...

    def to_end(self) -> AsyncIterator[Sequence[Record]]:
        """The same in pieces, perhaps none: a long log's reader need not hold all of it at once."""
        ...

    async def close(self) -> None:
        """Stop reading. A read under way, and any later one, raises `ClosedError`."""
        ...


class StateLog(Protocol):
    """The latest value of every key, in one total order (one partition)."""

    async def append(self, record: Record) -> None:
        """Return once the record is durable; later appends come after it.

        An error says nothing about whether the record is, or will be, in the log.
        """
        ...

    async def open_reader(self) -> StateReader:
        """A reader that stands before the first record."""
        ...


class Share(Protocol):
    """What a group has given to one of its members, as it is at this moment."""

    @property
    def generation(self) -> int:
        """Of the group, when it last gave this member something: it grows with every new division."""
        ...

    def covers(self, key: str) -> bool:
        """Whether records of `key` are the member's at this moment.

        False, too, once the group may have given them to others without a word to this member.
        """
        ...


class Holder(Protocol):
    """Who uses what a group gives to its member, and nothing else."""

    async def hold(self, share: Share) -> None:
        """The share is another one now.

        Return once everything it does not cover is let go of: only then is that given to another
        member. At the next change this call is cancelled, and another one made. The last may be of a
        share that covers nothing, when the membership ends.
        """
        ...

    def replaced(self) -> None:
        """Another process has joined under this member's name: nothing is this one's any more, and it must end."""
        ...


@dataclass(frozen=True, slots=True)
class Tenure:
    """Membership in a group whose members use what their records speak of, each camera one member."""

    holder: Holder
    replay_s: float
    """Facts that mean nothing when they are older: whoever is given a key reads those of the last so
    many seconds, committed or not."""


class EventConsumer(Protocol):
    """One member of a group that handles events and says how far it got."""

    async def read(self) -> Sequence[StoredRecord]:
        """The next records, at least one; waits for them as long as it takes.

        Raises:
            BusError: the log cannot be read by this member any more; one that is opened anew may.
        """
        ...

    async def commit(self) -> None:
        """Everything returned by `read` so far is done with; the group starts after it."""
        ...

    async def close(self) -> None:
        """Leave the group. What was not committed comes again. A read under way raises `ClosedError`."""
        ...


class EventLog(Protocol):
    """Facts in order per key, kept for a time."""

    async def append(self, record: Record) -> None:
        """Return once the record is durable."""
        ...

    async def open_consumer(self, group: str, tenure: Tenure | None = None) -> EventConsumer:
        """A member of `group`, which starts at the log's first record where it has committed nothing.

        Args:
            group: whose members divide the records among themselves, all of a key to one of them.
            tenure: who is told what is this member's; every member of the group has one, or none.
        """
        ...

    async def end(self) -> str:
        """The position after every record that is in the log now; also of a log that never had one.

        A tail that begins there gives exactly what is appended from now on.
        """
        ...

    async def check(self, position: str) -> None:
        """Return if a tail can begin there.

        Raises:
            PositionError: as `tail` does.
        """
        ...

    def tail(self, after: str | None) -> AsyncGenerator[StoredRecord, None]:
        """Records after the position `after`, then new ones as they come. Close it: `aclosing`.

        Args:
            after: a position this log gave out, or None for new records only.

        Raises:
            PositionError: `after` is no position of this log, or records after it have expired.
        """
        ...


class MediaTail(Protocol):
    """New records of one key. Iterate; what is too old for the back's memory is skipped."""

    def __aiter__(self) -> AsyncIterator[Record]: ...

    async def close(self) -> None:
        """Stop; an iteration under way ends."""
        ...


class MediaFeed(Protocol):
    """Coded video on its way, kept for seconds."""

    def offer(self, record: Record) -> bool:
        """Take the record, or say False: full, drop to the next keyframe. Never waits."""
        ...

    async def open_tail(self, key: str) -> MediaTail:
        """Records of `key` offered from now on."""
        ...

    async def erase(self, key: str, *, spare_s: float) -> None:
        """Delete every record of `key` that was offered before this call, wherever the back keeps it.

        What tails have fetched already is theirs. A back may be able to delete only whatever
        lies before a place, of whichever key: it then waits until all that has lain there for
        `spare_s`, when nobody wants it any more.

        Raises:
            BusError: it is not known to be done; asking again helps. A record whose sending failed
                before may still land after.
        """
        ...


class Bus(Protocol):
    """Opens logs and feeds by topic name. Asking twice for a topic gives the same port."""

    def state_log(self, topic: str) -> StateLog: ...

    def event_log(self, topic: str) -> EventLog: ...

    def media_feed(self, topic: str) -> MediaFeed: ...

    async def start(self) -> None:
        """Connect or open. Topics must exist (`feedgate topics apply`) or be made here, per back."""
        ...

    async def close(self) -> None:
        """Flush what was accepted and let go of every connection and file."""
        ...
