"""What an owner may read of the record: their own cameras and authorisations, nobody else's."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_registry.adapters import rows
from feedgate_registry.authorisation import Authorisation
from feedgate_registry.camera import Camera
from feedgate_registry.refusals import NotFoundError
from feedgate_registry.will import SharingWord, sharing


@dataclass(frozen=True, slots=True)
class OwnCamera:
    """A camera as its owner sees it."""

    camera: Camera
    sharing: SharingWord


class OwnerRecord:
    """Reads; changes are in `acts`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Read from this database, as things stand by this clock."""
        self.database = database
        self.clock = clock

    async def camera(self, owner: str, camera_id: str) -> OwnCamera:
        """One camera.

        Raises:
            NotFoundError: there is none, or it is not theirs, or it was removed.
        """
        async with self.database.read() as connection:
            camera = await own_camera(connection, owner, camera_id)
            return await standing(connection, camera, self.clock.now_us())

    async def cameras(self, owner: str, *, after: str | None, limit: int) -> list[OwnCamera]:
        """A part of the owner's cameras, oldest first."""
        async with self.database.read() as connection:
            cameras = await rows.list_cameras(connection, owner, after=after, limit=limit)
            found = await rows.open_authorisations(connection, [camera.camera_id for camera in cameras])
        of_camera: defaultdict[str, list[Authorisation]] = defaultdict(list)
        for authorisation in found:
            of_camera[authorisation.camera_id].append(authorisation)
        now_us = self.clock.now_us()
        return [OwnCamera(camera, sharing(camera, of_camera[camera.camera_id], now_us)) for camera in cameras]

    async def authorisation(self, owner: str, authorisation_id: str) -> Authorisation:
        """One authorisation, of a removed camera too.

        Raises:
            NotFoundError: there is none, or it is not theirs.
        """
        async with self.database.read() as connection:
            _, authorisation = await own_authorisation(connection, owner, authorisation_id)
            return authorisation

    async def authorisations(
        self, owner: str, camera_id: str, *, after: str | None, limit: int
    ) -> list[Authorisation]:
        """A part of a camera's authorisations, ended ones too, oldest first.

        Raises:
            NotFoundError: there is no such camera, or it is not theirs.
        """
        async with self.database.read() as connection:
            await own_camera(connection, owner, camera_id)
            return await rows.list_authorisations(connection, camera_id, after=after, limit=limit)


async def standing(connection: AsyncConnection, camera: Camera, now_us: int) -> OwnCamera:
    """The camera with what its authorisations make of it at `now_us`."""
    authorisations = await rows.open_authorisations(connection, [camera.camera_id])
    return OwnCamera(camera, sharing(camera, authorisations, now_us))


async def own_camera(
    connection: AsyncConnection, owner: str, camera_id: str, *, locked: bool = False
) -> Camera:
    """The camera, if it is the owner's and was not removed.

    Raises:
        NotFoundError: otherwise; which of these it was is not said.
    """
    camera = await rows.find_camera(connection, camera_id, locked=locked)
    if camera is None or camera.owner != owner or camera.removed_at_us is not None:
        raise NotFoundError("you have no camera of this id")
    return camera


async def own_authorisation(
    connection: AsyncConnection, owner: str, authorisation_id: str, *, locked: bool = False
) -> tuple[Camera, Authorisation]:
    """The authorisation and its camera; with `locked` as they are once the camera is locked.

    Raises:
        NotFoundError: there is none, or it is not theirs.
    """
    found = await rows.find_authorisation(connection, authorisation_id)
    camera = found and await rows.find_camera(connection, found.camera_id, locked=locked)
    if camera and locked:
        # Read again: another transaction may have changed it before it let the camera go.
        found = await rows.find_authorisation(connection, authorisation_id)
    if not camera or not found or camera.owner != owner:
        raise NotFoundError("you have no authorisation of this id")
    return camera, found
