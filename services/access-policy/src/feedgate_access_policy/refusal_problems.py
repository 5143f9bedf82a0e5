"""Refusals as callers see them: problem details (RFC 9457)."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from feedgate_access_policy.adapters.people import PseudonymChangedError, PseudonymTakenError
from feedgate_access_policy.answers import decision_answer
from feedgate_access_policy.decision import STATE_NOT_FRESH
from feedgate_access_policy.refusals import (
    AccessDeniedError,
    CamerasNotFreshError,
    NotFoundError,
    NotNamedError,
    NotPendingError,
    UnexpectedEvidenceError,
)
from feedgate_kit.bus.ports import TooLargeError
from feedgate_kit.identity.bearer import CHALLENGE
from feedgate_kit.owed_stops import StopOwedError
from feedgate_kit.problems import ErrorTable, Problem

ERRORS: Final[ErrorTable] = {
    NotFoundError: (404, "not-found"),
    NotPendingError: (409, "request-not-pending"),
    PseudonymTakenError: (409, "pseudonym-taken"),
    PseudonymChangedError: (409, "pseudonym-changed"),
    TooLargeError: (409, "record-too-large"),
    StopOwedError: (503, "stop-owed"),
}


def install_refusals(app: FastAPI) -> None:
    """Answer those that say more than a sentence."""

    async def on_denied(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AccessDeniedError)
        return access_denied(error).response()

    async def on_unexpected(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, UnexpectedEvidenceError)
        return unexpected_evidence(error).response()

    async def on_not_named(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, NotNamedError)
        return Problem(403, "access-denied", detail=str(error), reasons=["operator_not_named"]).response()

    async def on_not_fresh(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, CamerasNotFreshError)
        return _not_fresh().response()

    app.add_exception_handler(AccessDeniedError, on_denied)
    app.add_exception_handler(UnexpectedEvidenceError, on_unexpected)
    app.add_exception_handler(NotNamedError, on_not_named)
    app.add_exception_handler(CamerasNotFreshError, on_not_fresh)


def access_denied(error: AccessDeniedError) -> Problem:
    """403 with every reason; 503 where nothing can be permitted now, whatever the reasons besides.

    The decisions are on file either way.
    """
    decision = decision_answer(error.answers).model_dump(mode="json")
    members = {name: decision[name] for name in ("reasons", "errors", "missing_evidence", "refused_bases")}
    members |= {
        "policy_version": decision["policy_version"],
        "cameras": decision["cameras"],
        "decision_id": next(answer.decision_id for answer in error.answers if not answer.decision.permitted),
        "request_id": error.request_id,
    }
    if STATE_NOT_FRESH in decision["reasons"]:
        return _not_fresh(**members)
    detail = f"the decision is on file; it says: {', '.join(decision['reasons'])}"
    weak = next((answer.told.weak_login for answer in error.answers if answer.told.weak_login), None)
    if weak is None:
        return Problem(403, "access-denied", detail=detail, **members)
    needed = sorted(weak.accepted)
    # RFC 9470 §3: what the client has to ask the issuer for.
    challenge = f'{CHALLENGE}, error="insufficient_user_authentication", acr_values="{" ".join(needed)}"'
    return Problem(
        403,
        "access-denied",
        detail=f"{detail}. Signed in as `{weak.acr}`; needed: {' or '.join(f'`{acr}`' for acr in needed)}",
        headers={"WWW-Authenticate": challenge},
        login={"seen": weak.acr, "needed": needed},
        **members,
    )


def unexpected_evidence(error: UnexpectedEvidenceError) -> Problem:
    """422, as for any unknown field."""
    path = f"body.bases.{error.basis}.evidence.{error.field}"
    return Problem(
        422,
        "invalid-request",
        detail=str(error),
        errors=[{"path": path, "seen": None, "allowed": f"one of: {', '.join(error.allowed)}"}],
    )


def _not_fresh(**members: Any) -> Problem:
    return Problem(
        503,
        "state-not-fresh",
        detail="what is known of the cameras is too old to permit anything; try again",
        headers={"Retry-After": "1"},
        **members,
    )
