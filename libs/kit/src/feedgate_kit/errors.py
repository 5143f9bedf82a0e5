"""The root of expected failures, and those of the plumbing itself."""

from typing import ClassVar, Final

SETTINGS_PAGE: Final = "docs/ref/settings.md"
ONE_BOX_PAGE: Final = "docs/guide/one-box.md"
SERVICES_PAGE: Final = "docs/guide/services.md"


class FeedgateError(Exception):
    """An expected failure, named in the language of the domain.

    Messages are lower case without a full stop and say what was seen and what
    is allowed. They never hold a credential or a source address.
    """

    retriable: ClassVar[bool] = False


class OperatorError(FeedgateError):
    """What an operator can put right: every line of it ends with the page that says how.

    A line that names a page already keeps that one.
    """

    page: ClassVar[str] = SETTINGS_PAGE

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(self._with_page(line) for line in message.splitlines()))

    def _with_page(self, line: str) -> str:
        return line if line.endswith(".md)") else f"{line} ({self.page})"


class BusError(FeedgateError):
    """The bus did not do what it was asked; trying again may help."""

    retriable: ClassVar[bool] = True


class PositionError(FeedgateError):
    """A reader asked for a place the log does not have."""


class UnreadableRecordError(FeedgateError):
    """A record's value is not what its topic promises."""
