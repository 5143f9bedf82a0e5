"""Owners' routes for SharingAuthorisations."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from feedgate_kit.agencies import Agency
from feedgate_kit.clock import Clock, to_us
from feedgate_kit.http import Id, Page, require_if_match, set_etag
from feedgate_registry.account import FindOwner
from feedgate_registry.acts import OwnerActs
from feedgate_registry.answers import (
    AuthorisationAnswer,
    WithdrawalAnswer,
    authorisation_answer,
    stop_answer,
)
from feedgate_registry.authorisation import Authorisation, Scope, latest_expiry_us
from feedgate_registry.camera_api import PREFIX, Limit
from feedgate_registry.forms import AuthorisationForm, AuthorisationPatch
from feedgate_registry.owner_stops import OwnerStops
from feedgate_registry.record import OwnerRecord
from feedgate_registry.refusals import UnknownAgencyError


def authorisation_routes(
    account: FindOwner,
    owner: FindOwner,
    acts: OwnerActs,
    stops: OwnerStops,
    record: OwnerRecord,
    agencies: Mapping[str, Agency],
    clock: Clock,
) -> APIRouter:
    """Routes over one record."""
    router = APIRouter(prefix=PREFIX, tags=["authorisations"])
    account_of_caller = Depends(account)
    caller = Depends(owner)

    def answered(authorisation: Authorisation, response: Response) -> AuthorisationAnswer:
        set_etag(response, authorisation.version)
        return authorisation_answer(authorisation, clock.now_us())

    @router.post("/cameras/{camera_id}/authorisations", status_code=201)
    async def give_authorisation(
        camera_id: Id,
        form: AuthorisationForm,
        response: Response,
        owner: Annotated[str, account_of_caller],
    ) -> AuthorisationAnswer:
        """Let agencies ask to see a camera. In force at once; a view needs their own legal basis too."""
        _check_agencies(form.agencies, agencies)
        given = await acts.authorise(owner, camera_id, partial(_scope_at, form), form.approval_mode)
        response.headers["Location"] = f"{PREFIX}/authorisations/{given.authorisation_id}"
        return answered(given, response)

    @router.get("/cameras/{camera_id}/authorisations")
    async def list_authorisations(
        camera_id: Id,
        owner: Annotated[str, account_of_caller],
        after: Id | None = None,
        limit: Limit = 50,
    ) -> Page[AuthorisationAnswer]:
        """A camera's authorisations, ended ones too, oldest first."""
        found = await record.authorisations(owner, camera_id, after=after, limit=limit + 1)
        now_us = clock.now_us()
        return Page(
            items=[authorisation_answer(one, now_us) for one in found[:limit]],
            next=found[limit - 1].authorisation_id if len(found) > limit else None,
        )

    @router.get("/authorisations/{authorisation_id}")
    async def read_authorisation(
        authorisation_id: Id, response: Response, owner: Annotated[str, account_of_caller]
    ) -> AuthorisationAnswer:
        """One authorisation."""
        return answered(await record.authorisation(owner, authorisation_id), response)

    @router.patch("/authorisations/{authorisation_id}")
    async def narrow_authorisation(
        authorisation_id: Id,
        patch: AuthorisationPatch,
        request: Request,
        response: Response,
        owner: Annotated[str, account_of_caller],
    ) -> AuthorisationAnswer:
        """Allow less. Running views are held to it at once; allowing more needs a new authorisation."""
        accept = partial(require_if_match, request)
        narrowed = await acts.narrow(owner, authorisation_id, _scope_changes(patch), accept)
        return answered(narrowed, response)

    @router.post("/authorisations/{authorisation_id}/withdraw")
    async def withdraw_authorisation(
        authorisation_id: Id, response: Response, owner: Annotated[str, caller]
    ) -> WithdrawalAnswer:
        """End an authorisation for ever. Needs no version and nobody's leave."""
        withdrawn, stop = await stops.withdraw(owner, authorisation_id)
        proof = stop_answer(stop)
        return WithdrawalAnswer(
            authorisation=answered(withdrawn, response),
            stopped_at=proof.stopped_at,
            dark_no_later_than=proof.dark_no_later_than,
        )

    return router


def _check_agencies(named: Sequence[str], agencies: Mapping[str, Agency]) -> None:
    if unknown := [name for name in named if name not in agencies]:
        raise UnknownAgencyError(unknown, list(agencies))


def _scope_at(form: AuthorisationForm, now_us: int) -> Scope:
    return Scope(
        agencies=tuple(sorted(form.agencies)),
        purposes=tuple(sorted(form.purposes)),
        renditions=tuple(sorted(form.renditions)),
        schedule=None if form.schedule is None else form.schedule.to_schedule(),
        expires_at_us=latest_expiry_us(now_us) if form.expires_at is None else to_us(form.expires_at),
    )


def _scope_changes(patch: AuthorisationPatch) -> dict[str, Any]:
    """What was sent, by the names of `Scope`'s fields."""
    changes: dict[str, Any] = {
        name: tuple(sorted(getattr(patch, name)))
        for name in ("agencies", "purposes", "renditions")
        if name in patch.model_fields_set
    }
    if "schedule" in patch.model_fields_set:
        changes["schedule"] = None if patch.schedule is None else patch.schedule.to_schedule()
    if "expires_at" in patch.model_fields_set:
        changes["expires_at_us"] = to_us(patch.expires_at)
    return changes
