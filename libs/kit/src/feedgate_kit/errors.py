"""The root of expected failures, and those of the plumbing itself."""

from typing import ClassVar


class FeedgateError(Exception):
    """An expected failure, named in the language of the domain.

    Messages are lower case without a full stop and say what was seen and what
    is allowed. They never hold a credential or a source address.
    """

    retriable: ClassVar[bool] = False


class BusError(FeedgateError):
    """The bus did not do what it was asked; trying again may help."""

    retriable: ClassVar[bool] = True


class PositionError(FeedgateError):
    """A reader asked for a place the log does not have."""


class UnreadableRecordError(FeedgateError):
    """A record's value is not what its topic promises."""
