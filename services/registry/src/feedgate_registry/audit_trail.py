"""What registry tells the audit service, staged in the transaction of the act itself."""

from typing import Final

from feedgate_contracts.audit.v1.audit_pb2 import (
    OPERATION_COLLECTION,
    OPERATION_CONSENT,
    Actor,
    AuditRecord,
)
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_kit.ids import new_id
from feedgate_kit.published import LOST_IN_RESTORE
from feedgate_kit.timestamps import timestamp
from feedgate_registry.camera import Camera

SERVICE: Final = "registry"
OPERATIONS: Final = "operations"
"""Who acted where somebody ran a command on the database."""


def account_opened(owner: str, now_us: int) -> AuditRecord:
    """An owner called for the first time."""
    return AuditRecord(
        record_id=new_id(),
        operation=OPERATION_CONSENT,
        event="owner.registered",
        occurred_at=timestamp(now_us),
        service=SERVICE,
        actor=Actor(pseudonym=owner, role="owner"),
        owner=owner,
    )


def owner_act(
    event: str,
    camera: Camera,
    now_us: int,
    *,
    authorisation_id: str = "",
    changed: tuple[str, ...] = (),
) -> AuditRecord:
    """An owner's act on a camera.

    Args:
        event: `camera.paused`, `authorisation.withdrawn`, ...
        camera: as the act left it.
        now_us: when.
        authorisation_id: the authorisation it was about, if any.
        changed: names of the fields that changed; never their values.
    """
    record = _about(camera, event, now_us, Actor(pseudonym=camera.owner, role="owner"), authorisation_id)
    if changed:
        record.detail["changed"] = ",".join(changed)
    return record


def expired(camera: Camera, authorisation_id: str, now_us: int) -> AuditRecord:
    """An authorisation ended by itself."""
    actor = Actor(pseudonym=SERVICE, role="system")
    return _about(camera, "authorisation.expired", now_us, actor, authorisation_id)


def restored(event: str, camera: Camera, authorisation_id: str, now_us: int) -> AuditRecord:
    """What became of a camera, or of one of its authorisations, after the database was restored from a backup."""
    actor = Actor(pseudonym=OPERATIONS, role="system")
    record = _about(camera, event, now_us, actor, authorisation_id)
    record.reason = LOST_IN_RESTORE
    return record


def unknown_removed(state: CameraState, now_us: int) -> AuditRecord:
    """A camera that the restored database never heard of is shown no more."""
    return AuditRecord(
        record_id=new_id(),
        operation=OPERATION_CONSENT,
        event="camera.removed",
        occurred_at=timestamp(now_us),
        service=SERVICE,
        actor=Actor(pseudonym=OPERATIONS, role="system"),
        owner=state.owner,
        camera_id=state.camera_id,
        reason=LOST_IN_RESTORE,
        detail={"version": str(state.version)},
    )


def source_released(camera: Camera, worker: str, now_us: int) -> AuditRecord:
    """A sealed source was handed to an ingest worker, so that it can connect."""
    record = _about(camera, "source.released", now_us, Actor(pseudonym=worker, role="ingest"), "")
    record.operation = OPERATION_COLLECTION
    record.detail["pool"] = camera.ingest_pool
    return record


def source_resealed(camera: Camera, now_us: int) -> AuditRecord:
    """Operations sealed a source to its pool's next key; for a moment it lay open in their command's memory."""
    record = _about(camera, "source.resealed", now_us, Actor(pseudonym=OPERATIONS, role="system"), "")
    record.detail["pool"] = camera.ingest_pool
    return record


def _about(camera: Camera, event: str, now_us: int, actor: Actor, authorisation_id: str) -> AuditRecord:
    return AuditRecord(
        record_id=new_id(),
        operation=OPERATION_CONSENT,
        event=event,
        occurred_at=timestamp(now_us),
        service=SERVICE,
        actor=actor,
        owner=camera.owner,
        camera_id=camera.camera_id,
        authorisation_id=authorisation_id,
        detail={"version": str(camera.version)},
    )
