"""Incidents as rows. Every function works in the caller's transaction."""

from dataclasses import asdict

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.filed_request import Incident
from feedgate_access_policy.tables import INCIDENTS


async def add(connection: AsyncConnection, incident: Incident) -> None:
    await connection.execute(insert(INCIDENTS).values(asdict(incident)))


async def find(connection: AsyncConnection, incident_id: str, agency: str) -> Incident | None:
    """The agency's own incident; another agency's is none."""
    query = select(INCIDENTS).where(INCIDENTS.c.incident_id == incident_id, INCIDENTS.c.agency == agency)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else Incident(**row)
