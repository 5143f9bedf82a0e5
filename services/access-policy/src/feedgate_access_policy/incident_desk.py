"""Incidents, and the cameras around them."""

from collections.abc import Sequence
from datetime import datetime

from feedgate_access_policy.adapters import grants, incidents
from feedgate_access_policy.cameras import Cameras, NearbyCamera
from feedgate_access_policy.filed_request import Incident
from feedgate_access_policy.geography import Point
from feedgate_access_policy.persons import Persons
from feedgate_access_policy.refusals import CamerasNotFreshError, NotFoundError
from feedgate_access_policy.trail import Trail, actor
from feedgate_kit.clock import Clock, to_us
from feedgate_kit.database import Database
from feedgate_kit.identity import Principal
from feedgate_kit.ids import new_id


class IncidentDesk:
    """Where an agency's people say what happened, and learn who might have filmed it."""

    def __init__(
        self, *, database: Database, cameras: Cameras, persons: Persons, trail: Trail, clock: Clock
    ) -> None:
        self.database = database
        self.cameras = cameras
        self.persons = persons
        self.trail = trail
        self.clock = clock

    async def record(
        self, principal: Principal, *, number: str, place: Point, occurred_at: datetime, description: str
    ) -> Incident:
        now_us = self.clock.now_us()
        async with self.database.begin() as connection:
            person = await self.persons.enter(connection, principal, now_us)
            incident = Incident(
                incident_id=new_id(),
                agency=person.agency,
                number=number,
                longitude=place[0],
                latitude=place[1],
                occurred_at_us=to_us(occurred_at),
                description=description,
                recorded_by=person.pseudonym,
                recorded_at_us=now_us,
            )
            await incidents.add(connection, incident)
            await self.trail.incident_recorded(connection, incident, actor(person, "operator"))
        return incident

    async def find(self, principal: Principal, incident_id: str) -> Incident:
        """The incident.

        Raises:
            NotFoundError: the agency has none of this id.
        """
        async with self.database.read() as connection:
            incident = await incidents.find(connection, incident_id, principal.agency or "")
        if incident is None:
            raise NotFoundError(f"no incident `{incident_id}`")
        return incident

    async def cameras_near(
        self, principal: Principal, incident_id: str, radius_m: int, at_most: int
    ) -> tuple[Sequence[NearbyCamera], int]:
        """The nearest cameras around an incident that share with the asker's agency, and how many more there are.

        Raises:
            NotFoundError: the agency has no incident of this id.
            CamerasNotFreshError: an owner may have stopped sharing meanwhile.
        """
        now_us = self.clock.now_us()
        async with self.database.begin() as connection:
            person = await self.persons.enter(connection, principal, now_us)
            incident = await incidents.find(connection, incident_id, person.agency)
            if incident is None:
                raise NotFoundError(f"no incident `{incident_id}`")
            shown = await grants.cameras_shown_to(connection, person.agency, now_us)
            if not self.cameras.is_fresh():
                raise CamerasNotFreshError("what is known of the cameras is too old to tell who shares")
            place = (incident.longitude, incident.latitude)
            found = self.cameras.near(place, radius_m, person.agency, shown)
            told = found[:at_most]
            await self.trail.cameras_searched(
                connection,
                incident,
                actor(person, "operator"),
                now_us,
                radius_m=radius_m,
                found=len(told),
            )
        return told, len(found) - len(told)
