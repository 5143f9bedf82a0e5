"""What can go wrong for a recipient."""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Feedgate did not answer as its documentation says."""


class RefusedError(ClientError):
    """Feedgate refused, and said why.

    Attributes:
        code: the problem's stable code, or the close code's name.
        problem: the whole RFC 9457 problem, where there was one.
        may_pass: whether the same question may be answered otherwise in a moment.
    """

    def __init__(
        self, code: str, detail: str, problem: Mapping[str, Any] | None = None, *, may_pass: bool = False
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.may_pass = may_pass
        self.problem = problem or {}
