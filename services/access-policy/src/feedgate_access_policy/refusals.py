"""Why this service does not do what it was asked, in its own words; HTTP's are in `refusal_problems`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedgate_kit.errors import FeedgateError

if TYPE_CHECKING:
    from feedgate_access_policy.decision_point import Answer


class NotFoundError(FeedgateError):
    """There is no such thing in the asker's agency; another agency's is none."""


class NotPendingError(FeedgateError):
    """The request was settled before; it stays as it is."""


class NotNamedError(FeedgateError):
    """The grant is the agency's, but it neither names the asker nor are they its supervisor."""


class UnexpectedEvidenceError(FeedgateError):
    """A basis was handed evidence that it does not ask for; nothing was kept of it."""

    def __init__(self, basis: int, basis_code: str, field: str, allowed: Sequence[str]) -> None:
        super().__init__(f"`{basis_code}` takes no evidence `{field[:64]}`")
        self.basis = basis  # place in the request's list
        self.basis_code = basis_code
        self.field = field
        self.allowed = allowed


class CamerasNotFreshError(FeedgateError):
    """What is known of the cameras is too old to say anything about them."""

    retriable = True


class AccessDeniedError(FeedgateError):
    """The decision point denied. The decisions are recorded; nothing else was changed."""

    def __init__(self, request_id: str, answers: Sequence["Answer"]) -> None:
        super().__init__("access denied")
        self.request_id = request_id
        self.answers = answers
