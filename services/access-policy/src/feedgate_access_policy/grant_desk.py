"""Grants in use: tickets, early ends, and closing what would now be refused."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import grants, requests
from feedgate_access_policy.camera import Camera
from feedgate_access_policy.decision_point import Answer, DecisionPoint
from feedgate_access_policy.filed_request import FiledRequest
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.metrics import AccessPolicyMetrics
from feedgate_access_policy.persons import Persons, login_of
from feedgate_access_policy.question import Person
from feedgate_access_policy.refusals import AccessDeniedError, NotFoundError, NotNamedError
from feedgate_access_policy.ticket import Ticket, TicketKeys
from feedgate_access_policy.trail import SYSTEM, Trail, actor
from feedgate_kit.agencies import Agency
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.identity import Principal
from feedgate_kit.ids import new_id

CLOSED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class SignedTicket:
    """A ticket, and the text that proves it."""

    ticket: Ticket
    text: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review of a camera's grants came to."""

    changed: Sequence[Grant] = ()
    is_early: bool = False
    """A grant is newer than what was read of the cameras, or that is not fresh; ask again once more of it was."""


class GrantDesk:
    """Keeps grants true to the owners' will, and hands out the keys to them."""

    def __init__(
        self,
        *,
        database: Database,
        point: DecisionPoint,
        persons: Persons,
        trail: Trail,
        ticket_keys: TicketKeys,
        agencies: Mapping[str, Agency],
        clock: Clock,
        metrics: AccessPolicyMetrics,
    ) -> None:
        self.database = database
        self.point = point
        self.persons = persons
        self.trail = trail
        self.ticket_keys = ticket_keys
        self.agencies = agencies
        self.clock = clock
        self.metrics = metrics

    async def find(self, principal: Principal, grant_id: str) -> Grant:
        """The grant.

        Raises:
            NotFoundError: the agency has none of this id.
        """
        async with self.database.read() as connection:
            return await self._find(connection, grant_id, principal.agency or "", lock=False)

    async def newest(
        self,
        principal: Principal,
        *,
        phase: Literal["open", "closed"] | None,
        camera_id: str | None,
        before: str | None,
        limit: int,
    ) -> Sequence[Grant]:
        agency = principal.agency or ""
        async with self.database.read() as connection:
            return await grants.newest(
                connection, agency, phase=phase, camera_id=camera_id, before=before, limit=limit
            )

    async def issue_ticket(self, principal: Principal, grant_id: str) -> SignedTicket:
        """A ticket for one view, decided anew and recorded before it exists for anybody.

        Raises:
            NotFoundError: the agency has no such grant.
            AccessDeniedError: denied, as recorded.
        """
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            person = await self.persons.enter(connection, principal, now_us)
            grant = await self._find(connection, grant_id, person.agency, lock=True)
            request = await self._request(connection, grant)
            answer = self.point.ask(
                "ticket",
                person,
                grant.camera_id,
                request.asked,
                now_us=now_us,
                grant=grant,
                login=login_of(principal, self.agencies),
            )
            ticket = Ticket(
                ticket_id=new_id(),
                operator=person.pseudonym,
                agency=grant.agency,
                grant_id=grant.grant_id,
                camera_id=grant.camera_id,
                stream=grant.stream,
                purpose=grant.purpose,
                issued_at_us=now_us,
                view_until_us=min(
                    answer.decision.not_after_us,
                    principal.expires_at,
                    now_us + self._longest_view_us(answer.camera),
                ),
            )
            permitted = answer.decision.permitted
            await self.trail.decision(
                connection,
                answer,
                request,
                actor(person, "operator"),
                grant_id=grant.grant_id,
                detail={"ticket_id": ticket.ticket_id} if permitted else None,
            )
        self.metrics.decided([answer])
        if not permitted:
            raise AccessDeniedError(request.asked.request_id, [answer])
        self.metrics.tickets.inc()
        return SignedTicket(ticket, self.ticket_keys.sign(ticket))

    async def end(self, principal: Principal, grant_id: str, words: str = "") -> Grant:
        """Close a grant early. Ending a closed one changes nothing; `words` go to the audit log.

        Raises:
            NotFoundError: the agency has no such grant.
            NotNamedError: neither an operator of it nor a supervisor.
        """
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            person = await self.persons.enter(connection, principal, now_us)
            grant = await self._find(connection, grant_id, person.agency, lock=True)
            role = _role_in(person, grant)
            if not grant.is_open:
                return grant
            request = await self._request(connection, grant)
            closed = grant.closed(f"ended_by_{role}", now_us)
            await self._change(connection, closed)
            await self.trail.grant_act(
                connection, "grant.closed", closed, request, actor(person, role), now_us, words=words
            )
        self.metrics.grants_closed.labels(closed.closed_reason).inc()
        return closed

    async def review(self, camera_id: str) -> Reviewed:
        """Hold every open grant of a camera against the law and the owner's will.

        An unreadable or unknown record closes nothing for ever: relays show
        nothing of it anyway, and tickets are denied until it can be read. Nor
        does one that another process had read further than this one when it
        gave the grant: it may lack the very authorisation the grant rests on.
        Nor does a clock that registry's heartbeats do not agree with.
        """
        if self.point.cameras.get(camera_id) is None:
            return Reviewed()
        if not self.point.cameras.is_fresh():
            return Reviewed(is_early=True)
        is_early = False
        changed: list[Grant] = []
        answers: list[Answer] = []
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            for grant in await grants.open_of_camera(connection, camera_id):
                request = await self._request(connection, grant)
                # Nothing is awaited between this and the question: both are of what was read by now.
                cameras = self.point.cameras
                if not (cameras.is_fresh() and cameras.is_read_past(grant.created_at_us)):
                    is_early = True
                    continue
                answer = self._hold(grant, request, now_us)
                after = _held(grant, answer, now_us)
                if after is not grant:
                    await self.trail.decision(connection, answer, request, SYSTEM, grant_id=grant.grant_id)
                    await self._change(connection, after)
                    changed.append(after)
                    answers.append(answer)
        self.metrics.decided(answers)
        for grant in changed:
            if not grant.is_open:
                self.metrics.grants_closed.labels(grant.closed_reason).inc()
        return Reviewed(changed, is_early)

    async def expire(self) -> int:
        """Close the grants whose time is over; how many there were.

        None while no heartbeat of registry agrees with this clock: one that stepped ahead would end for good
        what has hours left. Relays show nothing beyond a grant's end anyway.
        """
        if not self.point.cameras.is_fresh():
            return 0
        async with self.database.read() as connection:
            next_end_us = await grants.next_end_us(connection)
        if next_end_us is None or next_end_us > self.clock.now_us():
            return 0  # without a writing transaction, which would wake the publisher
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            overdue = await grants.overdue(connection, now_us, CLOSED_AT_ONCE)
            for grant in overdue:
                closed = grant.closed("grant_expired", now_us)
                await self._change(connection, closed)
                request = await self._request(connection, grant)
                await self.trail.grant_act(connection, "grant.closed", closed, request, SYSTEM, now_us)
        self.metrics.grants_closed.labels("grant_expired").inc(len(overdue))
        return len(overdue)

    async def count(self) -> None:
        """Bring the gauges up to date."""
        async with self.database.read() as connection:
            self.metrics.grants_open.set(await grants.count_open(connection))
            self.metrics.requests_pending.set(await requests.count_pending(connection))

    async def cameras_to_review(self, among: Collection[str] | None = None) -> set[str]:
        """The cameras that have an open grant: of some, or all.

        Most that change have none, and at a start every camera there is counts as changed: no question for
        each, no lock and no publisher woken.
        """
        async with self.database.read() as connection:
            return await grants.cameras_with_open_grants(connection, among)

    def _hold(self, grant: Grant, request: FiledRequest, now_us: int) -> Answer:
        return self.point.ask(
            "hold", request.asked.requester, grant.camera_id, request.asked, now_us=now_us, grant=grant
        )

    async def _change(self, connection: AsyncConnection, grant: Grant) -> None:
        await grants.change(connection, grant)
        await self.trail.grant(connection, grant)

    def _longest_view_us(self, camera: Camera | None) -> int:
        law = self.point.law
        place = law.root if camera is None else law.jurisdictions.get(camera.jurisdiction, law.root)
        return place.limits.max_view_us

    @staticmethod
    async def _find(connection: AsyncConnection, grant_id: str, agency: str, *, lock: bool) -> Grant:
        grant = await grants.find(connection, grant_id, agency, lock=lock)
        if grant is None:
            raise NotFoundError(f"no grant `{grant_id}`")
        return grant

    async def _request(self, connection: AsyncConnection, grant: Grant) -> FiledRequest:
        request = await requests.find(connection, grant.request_id, grant.agency, self.agencies)
        assert request is not None  # a foreign key
        return request


def _held(grant: Grant, answer: Answer, now_us: int) -> Grant:
    """The grant as the answer leaves it, itself if nothing is to change."""
    decision = answer.decision
    if not decision.permitted:
        return grant.closed(decision.reasons[0], now_us)
    if decision.not_after_us < grant.not_after_us:
        return grant.tightened(decision.not_after_us)
    return grant


def _role_in(person: Person, grant: Grant) -> str:
    if person.pseudonym in grant.operators:
        return "operator"
    if "supervisor" in person.roles:
        return "supervisor"
    raise NotNamedError("only an operator it names, or a supervisor, ends a grant")
