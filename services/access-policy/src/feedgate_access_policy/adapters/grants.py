"""Grants as rows. Every function works in the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.grant import Grant
from feedgate_access_policy.tables import GRANTS

MOST_IN_A_QUERY: Final = 1_000
"""Ids to ask for by name; of more, all that are open are fewer to fetch."""
_OPEN = GRANTS.c.closed_reason == ""


async def add(connection: AsyncConnection, grant: Grant) -> None:
    await connection.execute(insert(GRANTS).values(asdict(grant)))


async def change(connection: AsyncConnection, grant: Grant) -> None:
    """Write the next version; the caller holds the row locked."""
    await connection.execute(
        update(GRANTS)
        .where(GRANTS.c.grant_id == grant.grant_id)
        .values(
            version=grant.version,
            not_after_us=grant.not_after_us,
            closed_reason=grant.closed_reason,
            closed_at_us=grant.closed_at_us,
        )
    )


async def find(
    connection: AsyncConnection, grant_id: str, agency: str, *, lock: bool = False
) -> Grant | None:
    """The agency's own grant; another agency's is none."""
    query = select(GRANTS).where(GRANTS.c.grant_id == grant_id, GRANTS.c.agency == agency)
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _from_row(row)


async def locked(connection: AsyncConnection, grant_id: str) -> Grant | None:
    """Any agency's grant, to be changed."""
    query = select(GRANTS).where(GRANTS.c.grant_id == grant_id).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _from_row(row)


async def newest(
    connection: AsyncConnection,
    agency: str,
    *,
    phase: Literal["open", "closed"] | None = None,
    camera_id: str | None = None,
    before: str | None = None,
    limit: int,
) -> Sequence[Grant]:
    """The agency's grants, newest first, older than `before` if that is given."""
    query = select(GRANTS).where(GRANTS.c.agency == agency)
    if phase is not None:
        query = query.where(_OPEN if phase == "open" else ~_OPEN)
    if camera_id is not None:
        query = query.where(GRANTS.c.camera_id == camera_id)
    if before is not None:
        query = query.where(GRANTS.c.grant_id < before)
    rows = await connection.execute(query.order_by(GRANTS.c.grant_id.desc()).limit(limit))
    return [_from_row(row) for row in rows.mappings()]


async def of_request(connection: AsyncConnection, request_id: str) -> Sequence[Grant]:
    query = select(GRANTS).where(GRANTS.c.request_id == request_id).order_by(GRANTS.c.grant_id)
    return [_from_row(row) for row in (await connection.execute(query)).mappings()]


async def open_of_camera(connection: AsyncConnection, camera_id: str) -> Sequence[Grant]:
    """Every agency's open grants of a camera, locked in one order."""
    query = (
        select(GRANTS)
        .where(GRANTS.c.camera_id == camera_id, _OPEN)
        .order_by(GRANTS.c.grant_id)
        .with_for_update()
    )
    return [_from_row(row) for row in (await connection.execute(query)).mappings()]


async def overdue(connection: AsyncConnection, now_us: int, limit: int) -> Sequence[Grant]:
    """Open grants whose time is over, locked in one order."""
    query = (
        select(GRANTS)
        .where(_OPEN, GRANTS.c.not_after_us <= now_us)
        .order_by(GRANTS.c.grant_id)
        .limit(limit)
        .with_for_update()
    )
    return [_from_row(row) for row in (await connection.execute(query)).mappings()]


async def next_end_us(connection: AsyncConnection) -> int | None:
    """When the first of the open grants ends; None if there is none."""
    end_us: int | None = (
        await connection.execute(select(func.min(GRANTS.c.not_after_us)).where(_OPEN))
    ).scalar()
    return end_us


async def cameras_with_open_grants(
    connection: AsyncConnection, among: Collection[str] | None = None
) -> set[str]:
    """Of some cameras, or all; takes no lock."""
    query = select(GRANTS.c.camera_id).where(_OPEN).distinct()
    if among is not None and len(among) <= MOST_IN_A_QUERY:
        query = query.where(GRANTS.c.camera_id.in_(among))
    found = set((await connection.execute(query)).scalars())
    return found if among is None else found.intersection(among)


async def cameras_shown_to(connection: AsyncConnection, agency: str, now_us: int) -> set[str]:
    """The cameras under a grant of the agency that is live now."""
    query = (
        select(GRANTS.c.camera_id)
        .where(
            GRANTS.c.agency == agency,
            _OPEN,
            GRANTS.c.opens_at_us <= now_us,
            GRANTS.c.not_after_us > now_us,
        )
        .distinct()
    )
    return set((await connection.execute(query)).scalars())


async def count_open(connection: AsyncConnection) -> int:
    query = select(func.count()).select_from(GRANTS).where(_OPEN)
    return int((await connection.execute(query)).scalar_one())


def _from_row(row: Mapping[Any, Any]) -> Grant:
    return Grant(
        **dict(row)
        | {
            "operators": tuple(row["operators"]),
            "conditions": tuple(row["conditions"]),
            "basis_codes": tuple(row["basis_codes"]),
        }
    )
