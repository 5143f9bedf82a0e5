"""Brings a restored database back in front of its state topic. The caller holds the publisher's lock."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.camera.v1.camera_pb2 import CameraState
from feedgate_kit.outbox import Outbox
from feedgate_kit.topics import CAMERA_STATE
from feedgate_registry import audit_trail
from feedgate_registry.acts import AUDIT_EVENTS
from feedgate_registry.adapters import rows
from feedgate_registry.camera import Camera
from feedgate_registry.restored import CameraPublished, restored, stopped
from feedgate_registry.will import camera_state


async def restore(
    connection: AsyncConnection, outbox: Outbox, published: Mapping[str, CameraPublished], now_us: int
) -> Counter[str]:
    """Stage a next version of every camera whose record in the topic is ahead; the events that came of it."""
    known = await outbox.newest_versions(connection, CAMERA_STATE)
    events: Counter[str] = Counter()
    for camera_id, ahead in published.items():
        if ahead.version <= known.get(camera_id, 0):
            continue
        camera = await rows.find_camera(connection, camera_id, locked=True)
        if camera is None:
            records = await _stop(connection, outbox, camera_id, ahead, now_us)
        else:
            records = await _hold(connection, outbox, camera, ahead, now_us)
        for record in records:
            await outbox.stage_event(connection, topic=AUDIT_EVENTS, key=camera_id, message=record)
        events.update(record.event for record in records)
    return events


async def _hold(
    connection: AsyncConnection, outbox: Outbox, camera: Camera, ahead: CameraPublished, now_us: int
) -> list[AuditRecord]:
    before = await rows.open_authorisations(connection, [camera.camera_id])
    after = restored(camera, before, ahead, now_us)
    for authorisation in after.changed:
        await rows.save_authorisation(connection, authorisation)
    if after.erases_source:
        await rows.save_sealed_source(connection, camera.camera_id, None)
    await rows.save_camera(connection, after.camera)
    still_open = await rows.open_authorisations(connection, [camera.camera_id])
    await _stage(connection, outbox, camera_state(after.camera, still_open, now_us))
    return [audit_trail.restored(act.event, after.camera, act.authorisation_id, now_us) for act in after.acts]


async def _stop(
    connection: AsyncConnection, outbox: Outbox, camera_id: str, ahead: CameraPublished, now_us: int
) -> list[AuditRecord]:
    state = stopped(camera_id, ahead)
    if state is None:
        return []
    await _stage(connection, outbox, state)
    return [audit_trail.unknown_removed(state, now_us)]


async def _stage(connection: AsyncConnection, outbox: Outbox, state: CameraState) -> None:
    await outbox.stage_state(
        connection, topic=CAMERA_STATE, key=state.camera_id, version=state.version, message=state
    )
