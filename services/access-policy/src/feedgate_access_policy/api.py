"""The public routes: an agency's people only, each sees their own agency's files only."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query

from feedgate_access_policy.answers import (
    GrantAnswer,
    IncidentAnswer,
    LegalBasesAnswer,
    NearbyCamerasAnswer,
    RecordedDecisionAnswer,
    RequestAnswer,
    TicketAnswer,
    camera_answer,
    grant_answer,
    incident_answer,
    legal_bases_answer,
    recorded_decision_answer,
    request_answer,
    ticket_answer,
)
from feedgate_access_policy.forms import EndBody, IncidentBody, ReasonsBody, RequestBody
from feedgate_access_policy.grant_desk import GrantDesk
from feedgate_access_policy.incident_desk import IncidentDesk
from feedgate_access_policy.jurisdiction import Law
from feedgate_access_policy.persons import Persons
from feedgate_access_policy.refusals import NotFoundError
from feedgate_access_policy.request_desk import Asking, RequestDesk
from feedgate_kit.clock import Clock, to_us
from feedgate_kit.http import Id, Page
from feedgate_kit.identity import Operator, Principal, Supervisor, require_role
from feedgate_kit.owed_stops import OwedStops

PREFIX = "/access-policy/v1"
MOST_CAMERAS_TOLD = 200

AgencyPerson = Annotated[Principal, Depends(require_role("operator", "supervisor"))]

IdInPath = Annotated[Id, Path()]
After = Annotated[Id | None, Query()]
Limit = Annotated[int, Query(ge=1, le=200)]
JurisdictionName = Annotated[str, Query(max_length=32, pattern=r"^[A-Z0-9]{1,8}(-[A-Z0-9]{1,8})*$")]


def routes(
    *,
    incident_desk: IncidentDesk,
    request_desk: RequestDesk,
    grant_desk: GrantDesk,
    persons: Persons,
    owed: OwedStops,
    law: Law,
    clock: Clock,
) -> APIRouter:
    """Every public route, over the desks."""

    def name(caller: Principal) -> str:
        return persons.known_as(caller).pseudonym

    router = APIRouter()
    router.include_router(_incident_routes(incident_desk, clock))
    router.include_router(_law_routes(law))
    router.include_router(_request_routes(request_desk, name))
    router.include_router(_grant_routes(grant_desk, owed, name))
    return router


def _incident_routes(desk: IncidentDesk, clock: Clock) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.post("/incidents", status_code=201)
    async def record_incident(caller: Operator, body: IncidentBody) -> IncidentAnswer:
        incident = await desk.record(
            caller,
            number=body.number,
            place=body.place.coordinates,
            occurred_at=body.occurred_at,
            description=body.description,
        )
        return incident_answer(incident)

    @router.get("/incidents/{incident_id}")
    async def get_incident(caller: AgencyPerson, incident_id: IdInPath) -> IncidentAnswer:
        return incident_answer(await desk.find(caller, incident_id))

    @router.get("/incidents/{incident_id}/cameras")
    async def cameras_near(
        caller: Operator,
        incident_id: IdInPath,
        radius_m: Annotated[int, Query(ge=1, le=2_000)] = 500,
    ) -> NearbyCamerasAnswer:
        told, left_out = await desk.cameras_near(caller, incident_id, radius_m, MOST_CAMERAS_TOLD)
        now_us = clock.now_us()
        items = [camera_answer(each, caller.agency or "", now_us) for each in told]
        return NearbyCamerasAnswer(items=items, left_out=left_out)

    return router


def _law_routes(law: Law) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.get("/legal-bases")
    async def legal_bases(_caller: AgencyPerson, jurisdiction: JurisdictionName) -> LegalBasesAnswer:
        place = law.jurisdictions.get(jurisdiction)
        if place is None:
            raise NotFoundError(f"no pack for jurisdiction `{jurisdiction}`")
        return legal_bases_answer(place, law)

    return router


def _request_routes(desk: RequestDesk, name: Callable[[Principal], str]) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.post("/requests", status_code=201)
    async def submit(caller: Operator, body: RequestBody) -> RequestAnswer:
        request, answers = await desk.submit(caller, _asking(body))
        return request_answer(request, name(caller), answers=answers)

    @router.get("/requests")
    async def list_requests(
        caller: AgencyPerson, after: After = None, limit: Limit = 50
    ) -> Page[RequestAnswer]:
        found = await desk.newest(caller, after, limit + 1)
        items = [request_answer(request, name(caller)) for request in found[:limit]]
        return Page(items=items, next=items[-1].id if len(found) > limit else None)

    @router.get("/requests/{request_id}")
    async def get_request(caller: AgencyPerson, request_id: IdInPath) -> RequestAnswer:
        request, given = await desk.find(caller, request_id)
        return request_answer(request, name(caller), grants=given)

    @router.get("/requests/{request_id}/decisions")
    async def decisions_of_request(
        caller: AgencyPerson, request_id: IdInPath, after: After = None, limit: Limit = 50
    ) -> Page[RecordedDecisionAnswer]:
        found = await desk.decisions(caller, request_id, after, limit + 1)
        items = [recorded_decision_answer(decision) for decision in found[:limit]]
        return Page(items=items, next=items[-1].id if len(found) > limit else None)

    @router.get("/decisions/{decision_id}")
    async def get_decision(caller: AgencyPerson, decision_id: IdInPath) -> RecordedDecisionAnswer:
        return recorded_decision_answer(await desk.decision(caller, decision_id))

    @router.post("/requests/{request_id}/approve")
    async def approve(caller: Supervisor, request_id: IdInPath, body: ReasonsBody) -> RequestAnswer:
        request, given, answers = await desk.approve(caller, request_id, body.reasons)
        return request_answer(request, name(caller), answers=answers, grants=given)

    @router.post("/requests/{request_id}/refuse")
    async def refuse(caller: Supervisor, request_id: IdInPath, body: ReasonsBody) -> RequestAnswer:
        return request_answer(await desk.refuse(caller, request_id, body.reasons), name(caller))

    return router


def _grant_routes(desk: GrantDesk, owed: OwedStops, name: Callable[[Principal], str]) -> APIRouter:
    router = APIRouter(prefix=PREFIX)

    @router.get("/grants")
    async def list_grants(
        caller: AgencyPerson,
        phase: Annotated[Literal["open", "closed"] | None, Query()] = None,
        camera_id: Annotated[Id | None, Query()] = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Page[GrantAnswer]:
        found = await desk.newest(caller, phase=phase, camera_id=camera_id, before=after, limit=limit + 1)
        items = [grant_answer(grant, name(caller)) for grant in found[:limit]]
        return Page(items=items, next=items[-1].id if len(found) > limit else None)

    @router.get("/grants/{grant_id}")
    async def get_grant(caller: AgencyPerson, grant_id: IdInPath) -> GrantAnswer:
        return grant_answer(await desk.find(caller, grant_id), name(caller))

    @router.post("/grants/{grant_id}/tickets", status_code=201)
    async def issue_ticket(caller: Operator, grant_id: IdInPath) -> TicketAnswer:
        return ticket_answer(await desk.issue_ticket(caller, grant_id))

    @router.post("/grants/{grant_id}/end")
    async def end_grant(caller: AgencyPerson, grant_id: IdInPath, body: EndBody | None = None) -> GrantAnswer:
        words = body.reason if body is not None and body.reason is not None else ""
        end = partial(desk.end, caller, grant_id, words)
        ended = await owed.carry_out(f"{caller.issuer} {caller.subject}", f"end {grant_id}", end)
        return grant_answer(ended, name(caller))

    return router


def _asking(body: RequestBody) -> Asking:
    return Asking(
        incident_id=body.incident_id,
        purpose=body.purpose,
        case_number=body.case_number,
        camera_ids=tuple(body.camera_ids),
        bases=tuple(basis.to_basis() for basis in body.bases),
        from_us=to_us(body.window.not_before),
        until_us=to_us(body.window.not_after),
        necessity=body.necessity,
        proportionality=body.proportionality or "",
    )
