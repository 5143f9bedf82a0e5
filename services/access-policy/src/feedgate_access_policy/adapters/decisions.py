"""Decisions as rows: written once, never changed. Works in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.decision import MissingEvidence, RefusedBasis
from feedgate_access_policy.tables import DECISIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """One answer of the decision point, as the agency was given it."""

    decision_id: str
    request_id: str
    grant_id: str
    camera_id: str
    authorisation_id: str
    agency: str
    person: str
    action: str
    permitted: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    missing_evidence: tuple[MissingEvidence, ...]
    refused_bases: tuple[RefusedBasis, ...]
    policy_version: str
    decided_at_us: int


async def add(connection: AsyncConnection, decision: RecordedDecision) -> None:
    await connection.execute(insert(DECISIONS).values(asdict(decision)))


async def find(connection: AsyncConnection, decision_id: str, agency: str) -> RecordedDecision | None:
    """The agency's own decision; another agency's is none."""
    query = select(DECISIONS).where(DECISIONS.c.decision_id == decision_id, DECISIONS.c.agency == agency)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _from_row(row)


async def of_request(
    connection: AsyncConnection, request_id: str, after: str | None, limit: int
) -> Sequence[RecordedDecision]:
    """Every decision about a request and its grants, in the order they were made."""
    query = select(DECISIONS).where(DECISIONS.c.request_id == request_id)
    if after is not None:
        query = query.where(DECISIONS.c.decision_id > after)
    rows = await connection.execute(query.order_by(DECISIONS.c.decision_id).limit(limit))
    return [_from_row(row) for row in rows.mappings()]


def _from_row(row: Mapping[Any, Any]) -> RecordedDecision:
    return RecordedDecision(
        **dict(row)
        | {
            "reasons": tuple(row["reasons"]),
            "errors": tuple(row["errors"]),
            "missing_evidence": tuple(MissingEvidence(**each) for each in row["missing_evidence"]),
            "refused_bases": tuple(RefusedBasis(**each) for each in row["refused_bases"]),
        }
    )
