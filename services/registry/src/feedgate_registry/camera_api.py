"""Owners' routes for cameras. Thin: a form in, one act or one reading, an answer out."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from feedgate_kit.addresses import RtspUrl
from feedgate_kit.http import Id, Page, require_if_match, set_etag
from feedgate_registry.account import FindOwner
from feedgate_registry.acts import CameraDescription, OwnerActs
from feedgate_registry.answers import (
    CameraAnswer,
    PausedCameraAnswer,
    StopAnswer,
    camera_answer,
    feed_answer,
    stop_answer,
)
from feedgate_registry.camera import Place
from feedgate_registry.feeds import Feeds
from feedgate_registry.forms import CameraForm, CameraPatch, SourceForm
from feedgate_registry.owner_stops import OwnerStops
from feedgate_registry.record import OwnCamera, OwnerRecord
from feedgate_registry.source import parse_source

PREFIX = "/registry/v1"
LARGEST_PAGE = 100

Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]


def camera_routes(
    account: FindOwner,
    owner: FindOwner,
    acts: OwnerActs,
    stops: OwnerStops,
    record: OwnerRecord,
    feeds: Feeds,
) -> APIRouter:
    """Routes over one record."""
    router = APIRouter(prefix=f"{PREFIX}/cameras", tags=["cameras"])
    account_of_caller = Depends(account)
    caller = Depends(owner)

    def answered(own: OwnCamera, response: Response) -> CameraAnswer:
        set_etag(response, own.camera.version)
        return _answer(own, feeds)

    @router.post("", status_code=201)
    async def register_camera(
        form: CameraForm, response: Response, owner: Annotated[str, account_of_caller]
    ) -> CameraAnswer:
        """Register a camera. It is shared with nobody until an authorisation says so."""
        own = await acts.register_camera(owner, _description(form), _source(form.source))
        response.headers["Location"] = f"{PREFIX}/cameras/{own.camera.camera_id}"
        return answered(own, response)

    @router.get("")
    async def list_cameras(
        owner: Annotated[str, account_of_caller], after: Id | None = None, limit: Limit = 50
    ) -> Page[CameraAnswer]:
        """The caller's cameras, oldest first."""
        cameras = await record.cameras(owner, after=after, limit=limit + 1)
        return Page(
            items=[_answer(own, feeds) for own in cameras[:limit]],
            next=cameras[limit - 1].camera.camera_id if len(cameras) > limit else None,
        )

    @router.get("/{camera_id}")
    async def read_camera(
        camera_id: Id, response: Response, owner: Annotated[str, account_of_caller]
    ) -> CameraAnswer:
        """One camera, with the phase of its feed."""
        return answered(await record.camera(owner, camera_id), response)

    @router.patch("/{camera_id}")
    async def change_camera(
        camera_id: Id,
        patch: CameraPatch,
        request: Request,
        response: Response,
        owner: Annotated[str, account_of_caller],
    ) -> CameraAnswer:
        """Change what was sent and keep the rest. Another pool needs the source again."""
        source = _source(patch.source) if "source" in patch.model_fields_set else None
        accept = partial(require_if_match, request)
        own = await acts.change_camera(owner, camera_id, patch.changes(), source, accept)
        return answered(own, response)

    @router.delete("/{camera_id}")
    async def remove_camera(camera_id: Id, owner: Annotated[str, caller]) -> StopAnswer:
        """Stop sharing for good, end every authorisation and erase the source. Heeds no version: stops always work."""
        return stop_answer(await stops.remove_camera(owner, camera_id))

    @router.post("/{camera_id}/pause")
    async def pause_camera(
        camera_id: Id, response: Response, owner: Annotated[str, caller]
    ) -> PausedCameraAnswer:
        """Stop showing the camera until it is resumed. Needs no version: stopping always works."""
        own, stop = await stops.pause(owner, camera_id)
        camera = answered(own, response)
        return PausedCameraAnswer.model_construct(**dict(camera), **dict(stop_answer(stop)))

    @router.post("/{camera_id}/resume")
    async def resume_camera(
        camera_id: Id, response: Response, owner: Annotated[str, account_of_caller]
    ) -> CameraAnswer:
        """End a pause. Pictures from before it ended stay unseen."""
        own = await acts.resume(owner, camera_id)
        return answered(own, response)

    return router


def _answer(own: OwnCamera, feeds: Feeds) -> CameraAnswer:
    feed = feed_answer(feeds.of_camera(own.camera.camera_id), known=feeds.caught_up.is_set())
    return camera_answer(own.camera, own.sharing, feed)


def _description(form: CameraForm) -> CameraDescription:
    longitude, latitude = form.place.coordinates
    return CameraDescription(
        name=form.name,
        place=Place(longitude, latitude, form.bearing_degrees, form.field_of_view_degrees),
        jurisdiction=form.jurisdiction,
        ingest_pool=form.ingest_pool,
    )


def _source(form: SourceForm) -> RtspUrl:
    return parse_source(
        form.url.get_secret_value(),
        None if form.username is None else form.username.get_secret_value(),
        None if form.password is None else form.password.get_secret_value(),
    )
