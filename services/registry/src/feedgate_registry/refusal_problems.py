"""Refusals as owners and ingest see them: problem details (RFC 9457), in one place."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response

from feedgate_kit.bus.ports import TooLargeError
from feedgate_kit.errors import FeedgateError
from feedgate_kit.owed_stops import StopOwedError
from feedgate_kit.problems import Problem
from feedgate_kit.wrong_values import HIDDEN
from feedgate_registry.authorisation import ExpiryError
from feedgate_registry.metrics import RegistryMetrics
from feedgate_registry.refusals import (
    EndedError,
    NotFoundError,
    SourceNeededError,
    SourceWithheldError,
    TooManyAuthorisationsError,
    UnknownAgencyError,
    UnknownJurisdictionError,
    UnknownPoolError,
    WideningError,
)
from feedgate_registry.schedule import ScheduleError
from feedgate_registry.source import SourceRefusedError

ERRORS: Final[dict[type[FeedgateError], tuple[int, str]]] = {
    NotFoundError: (404, "not-found"),
    EndedError: (409, "authorisation-ended"),
    SourceNeededError: (422, "source-needed"),
    TooManyAuthorisationsError: (409, "too-many-authorisations"),
    TooLargeError: (409, "record-too-large"),
    StopOwedError: (503, "stop-owed"),
}
"""Those that need no more than their sentence."""

logger = structlog.get_logger(__name__)


def install_refusals(app: FastAPI, metrics: RegistryMetrics) -> None:
    """Answer the refusals that say more than a sentence."""

    def on_source_refused(error: SourceRefusedError) -> Problem:
        metrics.sources_refused.labels(error.reason).inc()
        # The address stays out of the log: only its owner is told what was seen.
        logger.warning("source refused", reasons=sorted({one.reason for one in error.findings}))
        return Problem(
            422,
            "source-refused",
            detail="this source may not be connected to; nothing was stored",
            errors=[
                {"path": "body.source", "reason": one.reason, "seen": one.seen, "allowed": one.allowed}
                for one in error.findings
            ],
        )

    def answer(kind: type[FeedgateError], problem: Callable[[Any], Problem]) -> None:
        async def handler(_request: Request, error: Exception) -> Response:
            return problem(error).response()

        app.add_exception_handler(kind, handler)

    answer(SourceRefusedError, on_source_refused)
    answer(
        UnknownPoolError, lambda error: _unusable("unknown-pool", "ingest_pool", error.seen, error.allowed)
    )
    answer(
        UnknownJurisdictionError,
        lambda error: _unusable("unknown-jurisdiction", "jurisdiction", error.seen, error.allowed),
    )
    answer(
        UnknownAgencyError, lambda error: _unusable("unknown-agency", "agencies", error.seen, error.allowed)
    )
    answer(ExpiryError, lambda error: _unusable("invalid-expiry", "expires_at", error.seen, error.allowed))
    answer(
        ScheduleError,
        lambda error: _unusable("invalid-schedule", f"schedule.{error.path}", error.seen, error.allowed),
    )
    answer(WideningError, _widening)
    answer(SourceWithheldError, lambda error: Problem(409, error.code, detail=str(error)))


def _unusable(code: str, path: str, seen: str, allowed: str) -> Problem:
    shown = HIDDEN if "://" in seen else seen  # an address in the wrong field may hold a password
    return Problem(
        422,
        code,
        detail=f"`{path}` cannot be used; nothing was changed",
        errors=[{"path": f"body.{path}", "seen": shown, "allowed": allowed}],
    )


def _widening(error: WideningError) -> Problem:
    fields: Sequence[str] = error.fields
    return Problem(409, "widening-needs-new-authorisation", detail=str(error), fields=list(fields))
