"""The one way a source leaves registry: sealed, to ingest, while its owner shares."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.outbox import Outbox
from feedgate_kit.topics import audit_events
from feedgate_registry import audit_trail
from feedgate_registry.adapters import rows
from feedgate_registry.camera import Camera
from feedgate_registry.pools import Pool
from feedgate_registry.record import standing
from feedgate_registry.refusals import NotFoundError, SourceWithheldError
from feedgate_registry.will import SharingWord


@dataclass(frozen=True, slots=True)
class SealedSource:
    """What ingest needs to connect once it has opened the seal."""

    camera_id: str
    version: int  # of the source; part of the seal
    key_id: str
    sealed: bytes
    pool: Pool


class SourceHandover:
    """Hands out sealed sources, each time with an audit record in the same transaction."""

    def __init__(
        self, *, database: Database, outbox: Outbox, clock: Clock, pools: Mapping[str, Pool]
    ) -> None:
        """Hand out what lies in this database to these pools."""
        self.database = database
        self.outbox = outbox
        self.clock = clock
        self.pools = pools

    async def release(self, camera_id: str, pool: str, key_ids: Collection[str], worker: str) -> SealedSource:
        """The camera's source, sealed to one of the pool's keys.

        Args:
            camera_id: which camera.
            pool: the pool the worker pulls for.
            key_ids: of the keys the worker can open with.
            worker: who asks, for the audit record.

        Raises:
            NotFoundError: no such camera.
            SourceWithheldError: its owner does not share it now, or it is another pool's or key's.
        """
        async with self.database.begin() as connection:
            camera = await rows.find_camera(connection, camera_id, locked=True)
            if camera is None or camera.removed_at_us is not None:
                raise NotFoundError("there is no camera of this id")
            now_us = self.clock.now_us()
            shared = await standing(connection, camera, now_us)
            self._check(camera, shared.sharing, pool, key_ids)
            sealed = await rows.read_sealed_source(connection, camera_id)
            assert sealed is not None  # a removed camera has none, nor has one whose key is no pool's
            record = audit_trail.source_released(camera, worker, now_us)
            await self.outbox.stage_event(
                connection, topic=audit_events(audit_trail.SERVICE), key=camera_id, message=record
            )
        return SealedSource(camera_id, camera.source_version, camera.source_key_id, sealed, self.pools[pool])

    def _check(self, camera: Camera, sharing: SharingWord, pool: str, key_ids: Collection[str]) -> None:
        if sharing != "on":
            raise SourceWithheldError("sharing-not-on", f"sharing of this camera is {sharing}; allowed: on")
        if camera.ingest_pool != pool or pool not in self.pools:
            raise SourceWithheldError("another-pool", f"this camera is not pulled by pool `{pool}`")
        if camera.source_key_id not in key_ids:
            raise SourceWithheldError(
                "sealed-to-another-key",
                f"the source is sealed to key `{camera.source_key_id}`; allowed: {', '.join(key_ids)}."
                " Give the worker that key, or its owner the source again",
            )
