"""Requests for access, from the asking to the second person's word."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import decisions, grants, incidents, requests
from feedgate_access_policy.adapters.decisions import RecordedDecision
from feedgate_access_policy.decision_point import Answer, DecisionPoint
from feedgate_access_policy.filed_request import FiledRequest
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.metrics import AccessPolicyMetrics
from feedgate_access_policy.persons import Persons, login_of
from feedgate_access_policy.question import AccessRequest, NamedBasis, Person
from feedgate_access_policy.refusals import (
    AccessDeniedError,
    NotFoundError,
    NotPendingError,
    UnexpectedEvidenceError,
)
from feedgate_access_policy.trail import SYSTEM, Trail, actor
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.identity import Principal
from feedgate_kit.ids import new_id

SETTLED_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What an operator sends."""

    incident_id: str
    purpose: str
    case_number: str
    camera_ids: tuple[str, ...]
    bases: tuple[NamedBasis, ...]
    from_us: int
    until_us: int
    necessity: str
    proportionality: str


class RequestDesk:
    """Takes requests, has them decided, and has a second person decide again."""

    def __init__(
        self,
        *,
        database: Database,
        point: DecisionPoint,
        persons: Persons,
        trail: Trail,
        agencies: Mapping[str, Agency],
        clock: Clock,
        metrics: AccessPolicyMetrics,
        review: Callable[[Collection[str]], None],
    ) -> None:
        """Wire it up.

        Args:
            database: this service's.
            point: decides.
            persons: pseudonyms.
            trail: staged in every transaction here.
            agencies: by id.
            clock: one reading per act.
            metrics: counted after commit.
            review: told of cameras that have a new grant. What an owner did between
                the decision and the commit was reviewed before the grant was there.
        """
        self.database = database
        self.point = point
        self.persons = persons
        self.trail = trail
        self.agencies = agencies
        self.clock = clock
        self.metrics = metrics
        self.review = review

    async def submit(self, principal: Principal, asking: Asking) -> tuple[FiledRequest, Sequence[Answer]]:
        """File a request and decide it for every camera. All or none: one denial denies it.

        Raises:
            NotFoundError: the agency has no such incident. Nothing was recorded.
            UnexpectedEvidenceError: a field no basis asks for. Nothing was recorded.
            AccessDeniedError: denied; the request and its decisions are on file.
        """
        self._refuse_unexpected_evidence(asking)
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            person = await self.persons.enter(connection, principal, now_us)
            asked = await self._asked(connection, person, asking)
            login = login_of(principal, self.agencies)
            answers = [
                self.point.ask("request", person, camera_id, asked, now_us=now_us, login=login)
                for camera_id in asking.camera_ids
            ]
            permitted = all(answer.decision.permitted for answer in answers)
            request = FiledRequest(
                asked=asked,
                incident_id=asking.incident_id,
                case_number=asking.case_number,
                camera_ids=asking.camera_ids,
                necessity=asking.necessity,
                proportionality=asking.proportionality,
                state="pending_approval" if permitted else "denied",
                filed_at_us=now_us,
            )
            await requests.add(connection, request)
            await self._record(connection, answers, request, person, "operator")
        self.metrics.request_settled(request.state)
        self.metrics.decided(answers)
        if not permitted:
            raise AccessDeniedError(asked.request_id, answers)
        return request, answers

    async def approve(
        self, principal: Principal, request_id: str, reasons: str
    ) -> tuple[FiledRequest, Sequence[Grant], Sequence[Answer]]:
        """Decide again with the cameras as they are now, and grant. All cameras or none.

        Raises:
            NotFoundError, NotPendingError: nothing was changed.
            AccessDeniedError: denied, as recorded; the request stays pending.
        """
        given: list[Grant] = []
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            person = await self.persons.enter(connection, principal, now_us)
            request = await self._pending(connection, person, request_id)
            login = login_of(principal, self.agencies)
            answers = [
                self.point.ask("approve", person, camera_id, request.asked, now_us=now_us, login=login)
                for camera_id in request.camera_ids
            ]
            permitted = all(answer.decision.permitted for answer in answers)
            if permitted:
                given = [self._grant(answer, request, person) for answer in answers]
                request = request.settled("approved", person.pseudonym, reasons, now_us)
                await requests.settle(connection, request)
            await self._record(connection, answers, request, person, "supervisor", given)
            for grant in given:
                await grants.add(connection, grant)
                await self.trail.grant(connection, grant)
        self.metrics.decided(answers)
        if not permitted:
            raise AccessDeniedError(request_id, answers)
        self.metrics.request_settled("approved")
        self.review(request.camera_ids)
        return request, given, answers

    async def refuse(self, principal: Principal, request_id: str, reasons: str) -> FiledRequest:
        """Settle a request without a grant.

        Raises:
            NotFoundError, NotPendingError: nothing was changed.
        """
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            person = await self.persons.enter(connection, principal, now_us)
            request = await self._pending(connection, person, request_id)
            request = request.settled("refused", person.pseudonym, reasons, now_us)
            await requests.settle(connection, request)
            await self.trail.request_act(
                connection,
                "request.refused",
                request,
                actor(person, "supervisor"),
                self._owners(request),
                reason="refused_by_supervisor",
            )
        self.metrics.request_settled("refused")
        return request

    async def expire(self) -> int:
        """Settle the requests whose window is over; how many there were. As `GrantDesk.expire`."""
        if not self.point.cameras.is_fresh():
            return 0
        async with self.database.read() as connection:
            next_end_us = await requests.next_end_us(connection)
        if next_end_us is None or next_end_us > self.clock.now_us():
            return 0  # without a writing transaction, which would wake the publisher
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            overdue = await requests.overdue(connection, self.agencies, now_us, SETTLED_AT_ONCE)
            for request in overdue:
                expired = request.settled("expired", "", "", now_us)
                await requests.settle(connection, expired)
                await self.trail.request_act(
                    connection,
                    "request.expired",
                    expired,
                    SYSTEM,
                    self._owners(expired),
                    reason="request_expired",
                )
        self.metrics.requests.labels("expired").inc(len(overdue))
        return len(overdue)

    async def find(self, principal: Principal, request_id: str) -> tuple[FiledRequest, Sequence[Grant]]:
        """The request and its grants.

        Raises:
            NotFoundError: the agency has none of this id.
        """
        async with self.database.read() as connection:
            request = await requests.find(connection, request_id, principal.agency or "", self.agencies)
            if request is None:
                raise NotFoundError(f"no request `{request_id}`")
            return request, await grants.of_request(connection, request_id)

    async def newest(self, principal: Principal, before: str | None, limit: int) -> Sequence[FiledRequest]:
        async with self.database.read() as connection:
            return await requests.newest(connection, principal.agency or "", self.agencies, before, limit)

    async def decisions(
        self, principal: Principal, request_id: str, after: str | None, limit: int
    ) -> Sequence[RecordedDecision]:
        """What was decided about a request and its grants.

        Raises:
            NotFoundError: the agency has no such request.
        """
        async with self.database.read() as connection:
            request = await requests.find(connection, request_id, principal.agency or "", self.agencies)
            if request is None:
                raise NotFoundError(f"no request `{request_id}`")
            return await decisions.of_request(connection, request_id, after, limit)

    async def decision(self, principal: Principal, decision_id: str) -> RecordedDecision:
        """One decision.

        Raises:
            NotFoundError: the agency has none of this id.
        """
        async with self.database.read() as connection:
            decision = await decisions.find(connection, decision_id, principal.agency or "")
        if decision is None:
            raise NotFoundError(f"no decision `{decision_id}`")
        return decision

    def _refuse_unexpected_evidence(self, asking: Asking) -> None:
        """What no basis asks for may be about people and has no reason to be kept."""
        documents = self.point.law.documents
        for number, named in enumerate(asking.bases):
            basis = self.point.law.basis(named.basis_code)
            if basis is None:
                continue  # the decision point refuses the basis by name
            allowed = [*basis.required_evidence, *documents]
            for field in named.evidence:
                if field not in allowed:
                    raise UnexpectedEvidenceError(number, named.basis_code, field, allowed)

    async def _asked(self, connection: AsyncConnection, person: Person, asking: Asking) -> AccessRequest:
        incident = await incidents.find(connection, asking.incident_id, person.agency)
        if incident is None:
            raise NotFoundError(f"no incident `{asking.incident_id}`")
        agency = self.agencies.get(person.agency)
        return AccessRequest(
            request_id=new_id(),
            requester=person,
            agency_jurisdiction=None if agency is None else agency.jurisdiction,
            purpose=asking.purpose,
            bases=asking.bases,
            from_us=asking.from_us,
            until_us=asking.until_us,
            camera_count=len(asking.camera_ids),
            longitude=incident.longitude,
            latitude=incident.latitude,
        )

    async def _pending(self, connection: AsyncConnection, person: Person, request_id: str) -> FiledRequest:
        request = await requests.find(connection, request_id, person.agency, self.agencies, lock=True)
        if request is None:
            raise NotFoundError(f"no request `{request_id}`")
        if request.state != "pending_approval":
            raise NotPendingError(f"the request is {request.state}; only a pending one can be settled")
        return request

    def _grant(self, answer: Answer, request: FiledRequest, approver: Person) -> Grant:
        camera, terms, decision = answer.camera, answer.terms, answer.decision
        assert camera is not None
        assert terms is not None
        return Grant(
            grant_id=new_id(),
            version=1,
            request_id=request.asked.request_id,
            camera_id=answer.camera_id,
            authorisation_id=terms.authorisation_id,
            agency=request.agency,
            operators=(request.asked.requester.pseudonym,),
            approver=approver.pseudonym,
            rendition=request.asked.rendition,
            conditions=self.point.law.conditions_at(camera.jurisdiction),
            purpose=request.asked.purpose,
            basis_codes=request.basis_codes,
            owner=camera.owner,
            opens_at_us=decision.opens_at_us,
            not_after_us=decision.not_after_us,
            created_at_us=answer.decided_at_us,
        )

    async def _record(
        self,
        connection: AsyncConnection,
        answers: Sequence[Answer],
        request: FiledRequest,
        person: Person,
        role: str,
        given: Sequence[Grant] = (),
    ) -> None:
        grant_of = {grant.camera_id: grant.grant_id for grant in given}
        for answer in answers:
            grant_id = grant_of.get(answer.camera_id, "")
            await self.trail.decision(connection, answer, request, actor(person, role), grant_id=grant_id)

    def _owners(self, request: FiledRequest) -> Sequence[tuple[str, str]]:
        known = ((camera_id, self.point.cameras.get(camera_id)) for camera_id in request.camera_ids)
        return [(camera_id, "" if camera is None else camera.owner) for camera_id, camera in known]
