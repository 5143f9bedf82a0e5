"""What a camera is after its database was restored from a backup: never more than its owner's last word allowed.

The state topic still has the versions that the database forgot, and readers keep the
highest. So the next version has to be higher, and to show nothing that the last one did not.
What the database has not can only be stopped: nobody could withdraw it.
"""

from dataclasses import dataclass, replace

from feedgate_contracts.camera.v1 import camera_pb2 as camera_pb
from feedgate_kit.published import LOST_IN_RESTORE, Published
from feedgate_registry.authorisation import Authorisation, Scope
from feedgate_registry.camera import Camera, Place
from feedgate_registry.narrowing import common_scope

CameraPublished = Published[camera_pb.CameraState]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that came of the restore, for the audit record."""

    event: str
    authorisation_id: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """The next version of a camera, and what it differs in from the backup's."""

    camera: Camera
    changed: tuple[Authorisation, ...]
    acts: tuple[Act, ...]
    erases_source: bool


def restored(
    camera: Camera, authorisations: list[Authorisation], published: CameraPublished, now_us: int
) -> Restored:
    """The camera after the topic's newer record.

    Args:
        camera: as the backup has it.
        authorisations: those of it that neither were withdrawn nor are on record as expired.
        published: a later version than the camera's. One that cannot be read shows nothing.
        now_us: when what ends is said to end.
    """
    said = published.value or camera_pb.CameraState()
    after = _described(replace(camera, version=published.version + 1), said)
    acts = [Act("camera.restored")]
    is_removed = said.removed or camera.removed_at_us is not None
    if is_removed and camera.removed_at_us is None:
        after = replace(after, removed_at_us=now_us)
        acts.append(Act("camera.removed"))
    source_is_lost = not is_removed and said.pool_version > camera.pool_version
    if source_is_lost:
        # The owner replaced the source since: the old one must not be shown again, and the new one is gone.
        after = replace(
            after,
            ingest_pool=said.ingest_pool,
            pool_version=after.version,
            source_key_id=LOST_IN_RESTORE,
        )
        acts.append(Act("camera.source_lost"))
    # A record that shows nothing does not say whether there is a pause beneath.
    if said.sharing != camera_pb.SHARING_ON and camera.paused_at_us is None and not is_removed:
        after = replace(after, paused_at_us=now_us)
        acts.append(Act("camera.paused"))
    terms = {} if is_removed else {one.authorisation_id: one for one in said.terms}
    held = [(before, _held(before, terms.get(before.authorisation_id), now_us)) for before in authorisations]
    changed = [(before, now) for before, now in held if now is not before]
    acts += [Act(_event(now), now.authorisation_id) for _, now in changed]
    known = {one.authorisation_id for one in authorisations}
    acts += [Act("authorisation.withdrawn", unknown) for unknown in terms if unknown not in known]
    return Restored(after, tuple(now for _, now in changed), tuple(acts), source_is_lost or is_removed)


def stopped(camera_id: str, published: CameraPublished) -> camera_pb.CameraState | None:
    """The next record of a camera that the database never heard of; None if it shows nothing for good already."""
    state = camera_pb.CameraState()
    if published.value is not None:
        if published.value.removed:
            return None
        state.CopyFrom(published.value)
    del state.terms[:]
    state.camera_id = camera_id
    state.version = published.version + 1
    state.sharing = camera_pb.SHARING_STOPPED
    state.removed = True
    return state


def _described(camera: Camera, said: camera_pb.CameraState) -> Camera:
    """With what the record says of the place, which is the owner's later word."""
    if said.HasField("place"):
        place = said.place
        camera = replace(
            camera,
            place=Place(place.longitude, place.latitude, place.bearing_degrees, place.field_of_view_degrees),
        )
    return replace(
        camera,
        jurisdiction=said.jurisdiction or camera.jurisdiction,
        resumed_at_us=max(camera.resumed_at_us, said.resumed_at.ToMicroseconds()),
    )


def _held(before: Authorisation, terms: camera_pb.Terms | None, now_us: int) -> Authorisation:
    """The authorisation within its terms, itself if they leave it as it was."""
    if before.state(now_us) == "expired":
        return before.expired(now_us)
    # Terms with caps show nothing, and there is no place for them here.
    is_there = terms is not None and not terms.HasField("caps")
    scope = common_scope(before.scope, Scope.of_terms(terms)) if terms is not None and is_there else None
    if scope is None:
        return before.withdrawn(now_us)
    if scope == before.scope:
        return before
    narrowed = before.narrowed(scope)
    return replace(narrowed, expired_at_us=now_us) if narrowed.state(now_us) == "expired" else narrowed


def _event(authorisation: Authorisation) -> str:
    if authorisation.withdrawn_at_us is not None:
        return "authorisation.withdrawn"
    return "authorisation.narrowed" if authorisation.expired_at_us is None else "authorisation.expired"
