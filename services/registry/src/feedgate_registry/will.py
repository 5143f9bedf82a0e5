"""The owner's will over one camera, whole, as every other service reads it."""

from collections.abc import Iterable
from typing import Literal

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.timestamps import timestamp
from feedgate_registry.authorisation import Authorisation
from feedgate_registry.camera import Camera

SharingWord = Literal["on", "paused", "stopped"]

_SHARING: dict[SharingWord, camera_pb.Sharing] = {
    "on": camera_pb.SHARING_ON,
    "paused": camera_pb.SHARING_PAUSED,
    "stopped": camera_pb.SHARING_STOPPED,
}


def in_force(camera: Camera, authorisations: Iterable[Authorisation], now_us: int) -> list[Authorisation]:
    """The authorisations that allow something at `now_us`, in the order they were given."""
    if camera.removed_at_us is not None:
        return []
    active = (one for one in authorisations if one.state(now_us) == "active")
    return sorted(active, key=lambda one: (one.given_at_us, one.authorisation_id))


def sharing(camera: Camera, authorisations: Iterable[Authorisation], now_us: int) -> SharingWord:
    """Stopped if and only if nothing is in force; a pause outlasts the authorisations it paused."""
    if not in_force(camera, authorisations, now_us):
        return "stopped"
    return "on" if camera.paused_at_us is None else "paused"


def camera_state(
    camera: Camera, authorisations: Iterable[Authorisation], now_us: int
) -> camera_pb.CameraState:
    """The record of `camera.version`: everything the others may know, and nothing of the source."""
    authorisations = tuple(authorisations)
    return camera_pb.CameraState(
        camera_id=camera.camera_id,
        version=camera.version,
        owner=camera.owner,
        sharing=_SHARING[sharing(camera, authorisations, now_us)],
        resumed_at=timestamp(camera.resumed_at_us),
        terms=[one.to_terms() for one in in_force(camera, authorisations, now_us)],
        jurisdiction=camera.jurisdiction,
        place=camera_pb.Place(
            longitude=camera.place.longitude,
            latitude=camera.place.latitude,
            bearing_degrees=camera.place.bearing_degrees,
            field_of_view_degrees=camera.place.field_of_view_degrees,
        ),
        ingest_pool=camera.ingest_pool,
        pool_version=camera.pool_version,
        removed=camera.removed_at_us is not None,
    )
