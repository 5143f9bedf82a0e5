"""Why an owner's act, or ingest's wish for a source, was refused. Nothing was changed by any of them."""

from collections.abc import Iterable, Sequence

from feedgate_kit.errors import FeedgateError


class NotFoundError(FeedgateError):
    """No such camera or authorisation, or it is somebody else's: the two cannot be told apart."""


class UnknownPoolError(FeedgateError):
    """The pools file does not name this pool."""

    def __init__(self, seen: str, known: Sequence[str]) -> None:
        self.seen = seen
        self.allowed = ", ".join(sorted(known))
        super().__init__(f"ingest pool is `{seen}`; allowed: {self.allowed}")


class UnknownJurisdictionError(FeedgateError):
    """No law is known there, so nobody could ever be allowed to look."""

    def __init__(self, seen: str, known: Iterable[str]) -> None:
        self.seen = seen
        self.allowed = ", ".join(sorted(known))
        super().__init__(f"jurisdiction is `{seen}`; allowed: {self.allowed}")


class UnknownAgencyError(FeedgateError):
    """The agencies file does not name this agency."""

    def __init__(self, seen: Sequence[str], known: Sequence[str]) -> None:
        self.seen = ", ".join(seen)
        self.allowed = ", ".join(sorted(known))
        super().__init__(f"agencies are `{self.seen}`; allowed: {self.allowed}")


class SourceNeededError(FeedgateError):
    """The stored source is sealed to the old pool's key, so the new pool could not open it."""


class WideningError(FeedgateError):
    """A change would allow more than its owner gave; more is a new authorisation."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        super().__init__(f"this would widen {', '.join(fields)}; give a new authorisation instead")


class EndedError(FeedgateError):
    """The authorisation was withdrawn or has expired; it cannot be changed any more."""


class TooManyAuthorisationsError(FeedgateError):
    """The camera's record would grow past what its readers take."""


class SourceWithheldError(FeedgateError):
    """Ingest may not have this source now."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)
