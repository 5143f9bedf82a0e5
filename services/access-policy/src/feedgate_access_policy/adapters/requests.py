"""Requests as rows. Every function works in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.evidence import Document, EvidenceValue
from feedgate_access_policy.filed_request import FiledRequest
from feedgate_access_policy.question import AccessRequest, NamedBasis, Person
from feedgate_access_policy.tables import INCIDENTS, REQUESTS
from feedgate_kit.agencies import Agency


async def add(connection: AsyncConnection, request: FiledRequest) -> None:
    asked = request.asked
    row = {
        "request_id": asked.request_id,
        "agency": request.agency,
        "incident_id": request.incident_id,
        "requester": asked.requester.pseudonym,
        "purpose": asked.purpose,
        "case_number": request.case_number,
        "from_us": asked.from_us,
        "until_us": asked.until_us,
        "camera_ids": list(request.camera_ids),
        "bases": [_basis_to_json(named) for named in asked.bases],
        "mode": asked.mode,
        "rendition": asked.rendition,
        "necessity": request.necessity,
        "proportionality": request.proportionality,
        "state": request.state,
        "filed_at_us": request.filed_at_us,
        "settled_by": request.settled_by,
        "settled_at_us": request.settled_at_us,
        "settled_reasons": request.settled_reasons,
    }
    await connection.execute(insert(REQUESTS).values(row))


async def settle(connection: AsyncConnection, request: FiledRequest) -> None:
    """Write how a request was settled; the caller holds its row locked."""
    await connection.execute(
        update(REQUESTS)
        .where(REQUESTS.c.request_id == request.asked.request_id)
        .values(
            state=request.state,
            settled_by=request.settled_by,
            settled_at_us=request.settled_at_us,
            settled_reasons=request.settled_reasons,
        )
    )


async def find(
    connection: AsyncConnection,
    request_id: str,
    agency: str,
    agencies: Mapping[str, Agency],
    *,
    lock: bool = False,
) -> FiledRequest | None:
    """The agency's own request; another agency's is none.

    Args:
        connection: with the caller's transaction.
        request_id: which.
        agency: whose.
        agencies: say under which jurisdiction the agency acts now.
        lock: keep others from settling it until the transaction ends.
    """
    query = _with_place().where(REQUESTS.c.request_id == request_id, REQUESTS.c.agency == agency)
    if lock:
        query = query.with_for_update(of=REQUESTS)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _from_row(row, agencies)


async def newest(
    connection: AsyncConnection, agency: str, agencies: Mapping[str, Agency], before: str | None, limit: int
) -> Sequence[FiledRequest]:
    """The agency's requests, newest first, older than `before` if that is given."""
    query = _with_place().where(REQUESTS.c.agency == agency)
    if before is not None:
        query = query.where(REQUESTS.c.request_id < before)
    rows = await connection.execute(query.order_by(REQUESTS.c.request_id.desc()).limit(limit))
    return [_from_row(row, agencies) for row in rows.mappings()]


async def overdue(
    connection: AsyncConnection, agencies: Mapping[str, Agency], now_us: int, limit: int
) -> Sequence[FiledRequest]:
    """Requests nobody settled before their window was over, locked."""
    query = (
        _with_place()
        .where(REQUESTS.c.state == "pending_approval", REQUESTS.c.until_us <= now_us)
        .order_by(REQUESTS.c.request_id)
        .limit(limit)
        .with_for_update(of=REQUESTS)
    )
    return [_from_row(row, agencies) for row in (await connection.execute(query)).mappings()]


async def next_end_us(connection: AsyncConnection) -> int | None:
    """When the first window of a pending request ends; None if there is none."""
    query = select(func.min(REQUESTS.c.until_us)).where(REQUESTS.c.state == "pending_approval")
    end_us: int | None = (await connection.execute(query)).scalar()
    return end_us


async def count_pending(connection: AsyncConnection) -> int:
    query = select(func.count()).select_from(REQUESTS).where(REQUESTS.c.state == "pending_approval")
    return int((await connection.execute(query)).scalar_one())


def _with_place() -> Select[Any]:
    incident = INCIDENTS.c.incident_id == REQUESTS.c.incident_id
    return select(REQUESTS, INCIDENTS.c.longitude, INCIDENTS.c.latitude).join(INCIDENTS, incident)


def _from_row(row: Mapping[Any, Any], agencies: Mapping[str, Agency]) -> FiledRequest:
    agency = agencies.get(row["agency"])
    asked = AccessRequest(
        request_id=row["request_id"],
        requester=Person(row["requester"], row["agency"]),
        agency_jurisdiction=None if agency is None else agency.jurisdiction,
        purpose=row["purpose"],
        bases=tuple(_basis_from_json(named) for named in row["bases"]),
        from_us=row["from_us"],
        until_us=row["until_us"],
        camera_count=len(row["camera_ids"]),
        longitude=row["longitude"],
        latitude=row["latitude"],
        mode=row["mode"],
        rendition=row["rendition"],
    )
    return FiledRequest(
        asked=asked,
        incident_id=row["incident_id"],
        case_number=row["case_number"],
        camera_ids=tuple(row["camera_ids"]),
        necessity=row["necessity"],
        proportionality=row["proportionality"],
        state=row["state"],
        filed_at_us=row["filed_at_us"],
        settled_by=row["settled_by"],
        settled_at_us=row["settled_at_us"],
        settled_reasons=row["settled_reasons"],
    )


def _basis_to_json(named: NamedBasis) -> dict[str, Any]:
    evidence = {
        field: asdict(value) if isinstance(value, Document) else value
        for field, value in named.evidence.items()
    }
    return {"basis_code": named.basis_code, "evidence": evidence}


def _basis_from_json(stored: Mapping[str, Any]) -> NamedBasis:
    evidence: dict[str, EvidenceValue] = {
        field: value if isinstance(value, str) else Document(**value)
        for field, value in stored["evidence"].items()
    }
    return NamedBasis(stored["basis_code"], evidence)
