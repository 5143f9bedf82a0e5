"""The owner's acts. Each is one transaction: rows, the next record of the camera, its audit record.

Nothing here talks to the bus: the outbox's one publisher does, in order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_kit.addresses import RtspUrl
from feedgate_kit.clock import Clock
from feedgate_kit.database import Database
from feedgate_kit.ids import new_id
from feedgate_kit.outbox import Outbox
from feedgate_kit.topics import CAMERA_STATE, audit_events
from feedgate_registry import audit_trail
from feedgate_registry.adapters import rows
from feedgate_registry.authorisation import Authorisation, Scope, check_expiry
from feedgate_registry.camera import Camera, Place
from feedgate_registry.intake import SourceIntake
from feedgate_registry.jurisdictions import Jurisdictions
from feedgate_registry.narrowing import widened_fields
from feedgate_registry.pools import Pool
from feedgate_registry.record import OwnCamera, own_authorisation, own_camera, standing
from feedgate_registry.refusals import (
    EndedError,
    SourceNeededError,
    TooManyAuthorisationsError,
    UnknownJurisdictionError,
    UnknownPoolError,
    WideningError,
)
from feedgate_registry.stop import Stop
from feedgate_registry.will import camera_state, in_force, sharing

AUDIT_EVENTS = audit_events(audit_trail.SERVICE)
EXPIRED_AT_ONCE = 100

AcceptVersion = Callable[[int], None]
"""Given the version a change would be made to; raises if its caller had another one in mind."""


@dataclass(frozen=True, slots=True)
class CameraDescription:
    """What an owner says of a camera, without its source."""

    name: str
    place: Place
    jurisdiction: str
    ingest_pool: str


class OwnerActs:
    """Everything an owner can do, and the one thing time does: expiry."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        intake: SourceIntake,
        pools: Mapping[str, Pool],
        jurisdictions: Jurisdictions,
        most_authorisations: int,
        acted: Callable[[str], None],
    ) -> None:
        """Act on this database.

        Args:
            database: the record.
            outbox: its way to the bus.
            clock: gives every act its time.
            intake: judges and seals sources.
            pools: those that cameras may name.
            jurisdictions: those that a camera may be said to stand in.
            most_authorisations: in force for one camera at a time.
            acted: told the name of every act, once it is on record.
        """
        self.database = database
        self.outbox = outbox
        self.clock = clock
        self.intake = intake
        self.pools = pools
        self.jurisdictions = jurisdictions
        self.most_authorisations = most_authorisations
        self.acted = acted

    async def open_account(self, owner: str, *, issuer: str, subject: str) -> None:
        """Make the owner's account, unless it is there."""
        async with self.database.read() as connection:
            if await rows.owner_exists(connection, owner):
                return
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            is_new = await rows.add_owner(
                connection, owner, issuer=issuer, subject=subject, created_at_us=now_us
            )
            if is_new:
                record = audit_trail.account_opened(owner, now_us)
                await self.outbox.stage_event(connection, topic=AUDIT_EVENTS, key=owner, message=record)

    async def register_camera(self, owner: str, description: CameraDescription, source: RtspUrl) -> OwnCamera:
        """A new camera, shared with nobody yet.

        Raises:
            UnknownJurisdictionError, UnknownPoolError, SourceRefusedError: nothing was stored.
        """
        self._check_jurisdiction(description.jurisdiction)
        pool = self._pool(description.ingest_pool)
        await self.intake.judge(source, pool)
        camera_id = new_id()
        sealed = self.intake.seal(source, pool, camera_id, version=1)
        async with self.database.begin() as connection:
            now_us = self.clock.now_us()
            camera = Camera(
                camera_id=camera_id,
                owner=owner,
                version=1,
                name=description.name,
                place=description.place,
                jurisdiction=description.jurisdiction,
                ingest_pool=pool.name,
                pool_version=1,
                source_version=1,
                source_key_id=pool.key_id,
                source_set_at_us=now_us,
                created_at_us=now_us,
                resumed_at_us=now_us,
            )
            await rows.add_camera(connection, camera, sealed)
            record = audit_trail.owner_act("camera.registered", camera, now_us)
            own = await self._stage(connection, camera, [], now_us, record)
        self.acted("register")
        return own

    async def change_camera(
        self,
        owner: str,
        camera_id: str,
        changes: Mapping[str, Any],
        source: RtspUrl | None,
        accept_version: AcceptVersion,
    ) -> OwnCamera:
        """The camera with some of its description, or its source, replaced.

        Args:
            owner: who asks.
            camera_id: which camera.
            changes: by the names of `Camera`'s and `Place`'s fields.
            source: a new source, if there is one. A new pool needs one.
            accept_version: refuses a change made to an older version.

        Raises:
            NotFoundError, UnknownJurisdictionError, UnknownPoolError, SourceNeededError, SourceRefusedError:
                nothing was changed.
        """
        async with self.database.read() as connection:
            camera = await own_camera(connection, owner, camera_id)
        accept_version(camera.version)
        # A camera from before its jurisdiction's law was taken away may stay there, and keep all else.
        if (jurisdiction := changes.get("jurisdiction", camera.jurisdiction)) != camera.jurisdiction:
            self._check_jurisdiction(jurisdiction)
        pool = self._pool(changes["ingest_pool"]) if "ingest_pool" in changes else None
        if source is not None:
            pool = pool or self._pool(camera.ingest_pool)
            await self.intake.judge(source, pool)
        async with self.database.begin() as connection:
            now = await own_camera(connection, owner, camera_id, locked=True)
            accept_version(now.version)
            if source is None and pool is not None and pool.name != now.ingest_pool:
                raise SourceNeededError(
                    f"the source is sealed to the key of pool `{now.ingest_pool}`;"
                    " give the source again together with another pool"
                )
            own = await self._replace(connection, now, changes, source, pool)
        if own.camera.version != now.version:
            self.acted("change")
        return own

    async def _replace(
        self,
        connection: AsyncConnection,
        camera: Camera,
        changes: Mapping[str, Any],
        source: RtspUrl | None,
        pool: Pool | None,
    ) -> OwnCamera:
        now_us = self.clock.now_us()
        place = replace(
            camera.place, **{name: value for name, value in changes.items() if hasattr(camera.place, name)}
        )
        changed = replace(
            camera,
            place=place,
            name=changes.get("name", camera.name),
            jurisdiction=changes.get("jurisdiction", camera.jurisdiction),
        )
        fields = sorted(
            name
            for name in ("place", "name", "jurisdiction")
            if getattr(changed, name) != getattr(camera, name)
        )
        if source is not None and pool is not None:
            changed = changed.moved_to_source(pool.name, pool.key_id, now_us)
            sealed = self.intake.seal(source, pool, camera.camera_id, changed.source_version)
            await rows.save_sealed_source(connection, camera.camera_id, sealed)
            fields.append("source")
        elif fields:
            changed = changed.advanced()
        else:
            return await standing(connection, camera, now_us)
        record = audit_trail.owner_act("camera.changed", changed, now_us, changed=tuple(fields))
        return await self._save(connection, changed, now_us, record)

    async def remove_camera(self, owner: str, camera_id: str) -> Stop:
        """Stop sharing for good, erase the source, and keep the record as removed.

        Raises:
            NotFoundError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera = await own_camera(connection, owner, camera_id, locked=True)
            now_us = self.clock.now_us()
            removed = camera.removed(now_us)
            for authorisation in await rows.open_authorisations(connection, [camera_id]):
                ended = self._ended(authorisation, now_us)
                await rows.save_authorisation(connection, ended)
            await rows.save_sealed_source(connection, camera_id, None)
            record = audit_trail.owner_act("camera.removed", removed, now_us)
            await self._save(connection, removed, now_us, record)
        self.acted("remove")
        return Stop(now_us)

    async def pause(self, owner: str, camera_id: str) -> tuple[OwnCamera, Stop]:
        """Stop showing the camera until it is resumed. A second pause answers with the first one's time.

        Raises:
            NotFoundError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera = await own_camera(connection, owner, camera_id, locked=True)
            now_us = self.clock.now_us()
            if camera.paused_at_us is not None:
                return await standing(connection, camera, now_us), Stop(camera.paused_at_us)
            paused = camera.paused(now_us)
            record = audit_trail.owner_act("camera.paused", paused, now_us)
            own = await self._save(connection, paused, now_us, record)
        self.acted("pause")
        return own, Stop(now_us)

    async def resume(self, owner: str, camera_id: str) -> OwnCamera:
        """End a pause; without one nothing changes.

        Raises:
            NotFoundError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera = await own_camera(connection, owner, camera_id, locked=True)
            now_us = self.clock.now_us()
            if camera.paused_at_us is None:
                return await standing(connection, camera, now_us)
            resumed = camera.resumed(now_us)
            record = audit_trail.owner_act("camera.resumed", resumed, now_us)
            own = await self._save(connection, resumed, now_us, record)
        self.acted("resume")
        return own

    async def authorise(
        self, owner: str, camera_id: str, scope_at: Callable[[int], Scope], approval_mode: str
    ) -> Authorisation:
        """A new authorisation, in force at once.

        Args:
            owner: who gives it.
            camera_id: of which camera.
            scope_at: how far it reaches, given the moment it begins.
            approval_mode: who else has to agree before a view.

        Raises:
            NotFoundError, ExpiryError, TooManyAuthorisationsError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera = (await own_camera(connection, owner, camera_id, locked=True)).advanced()
            now_us = self.clock.now_us()
            scope = scope_at(now_us)
            check_expiry(scope.expires_at_us, now_us)
            before = await rows.open_authorisations(connection, [camera_id])
            if len(in_force(camera, before, now_us)) >= self.most_authorisations:
                raise TooManyAuthorisationsError(
                    f"{self.most_authorisations} authorisations of this camera are in force;"
                    f" allowed: {self.most_authorisations}, withdraw one first"
                )
            authorisation = Authorisation(
                authorisation_id=new_id(),
                camera_id=camera_id,
                version=1,
                scope=scope,
                approval_mode=approval_mode,
                given_at_us=now_us,
            )
            await rows.add_authorisation(connection, authorisation)
            record = audit_trail.owner_act(
                "authorisation.given", camera, now_us, authorisation_id=authorisation.authorisation_id
            )
            await self._save(connection, camera, now_us, record)
        self.acted("authorise")
        return authorisation

    async def narrow(
        self,
        owner: str,
        authorisation_id: str,
        changes: Mapping[str, Any],
        accept_version: AcceptVersion,
    ) -> Authorisation:
        """The authorisation with less in it. `changes` go by the names of `Scope`'s fields.

        Raises:
            NotFoundError, EndedError, WideningError, ExpiryError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera, authorisation = await own_authorisation(connection, owner, authorisation_id, locked=True)
            accept_version(authorisation.version)
            now_us = self.clock.now_us()
            if (state := authorisation.state(now_us)) != "active":
                raise EndedError(f"the authorisation is {state}; only an active one can be narrowed")
            scope = replace(authorisation.scope, **changes)
            if widened := widened_fields(authorisation.scope, scope):
                raise WideningError(widened)
            if scope == authorisation.scope:
                return authorisation
            check_expiry(scope.expires_at_us, now_us)
            narrowed = authorisation.narrowed(scope)
            await rows.save_authorisation(connection, narrowed)
            await self._save_next(
                connection, camera, now_us, "authorisation.narrowed", authorisation_id, tuple(sorted(changes))
            )
        self.acted("narrow")
        return narrowed

    async def withdraw(self, owner: str, authorisation_id: str) -> tuple[Authorisation, Stop]:
        """End an authorisation for ever. Asked again, or of one that expired, it answers when it ended.

        Raises:
            NotFoundError: nothing was changed.
        """
        async with self.database.begin() as connection:
            camera, authorisation = await own_authorisation(connection, owner, authorisation_id, locked=True)
            now_us = self.clock.now_us()
            if (ended_at_us := authorisation.ended_at_us(now_us)) is not None:
                return authorisation, Stop(ended_at_us)
            withdrawn = authorisation.withdrawn(now_us)
            await rows.save_authorisation(connection, withdrawn)
            await self._save_next(connection, camera, now_us, "authorisation.withdrawn", authorisation_id)
        self.acted("withdraw")
        return withdrawn, Stop(now_us)

    async def record_expiries(self) -> int:
        """Take authorisations past their expiry out of the cameras' terms; how many there were."""
        recorded = 0
        while True:
            async with self.database.read() as connection:
                due = await rows.cameras_with_expired(connection, self.clock.now_us(), EXPIRED_AT_ONCE)
            if not due:
                return recorded
            for camera_id in due:
                recorded += await self._record_expiries_of(camera_id)

    async def _record_expiries_of(self, camera_id: str) -> int:
        async with self.database.begin() as connection:
            camera = await rows.find_camera(connection, camera_id, locked=True)
            assert camera is not None  # cameras are never deleted
            now_us = self.clock.now_us()
            of_camera = await rows.open_authorisations(connection, [camera_id])
            expired = [one for one in of_camera if one.state(now_us) == "expired"]
            if not expired:
                return 0
            camera = camera.advanced()
            for authorisation in expired:
                await rows.save_authorisation(connection, authorisation.expired(now_us))
            *earlier, last = (audit_trail.expired(camera, one.authorisation_id, now_us) for one in expired)
            for record in earlier:
                await self.outbox.stage_event(connection, topic=AUDIT_EVENTS, key=camera_id, message=record)
            await self._save(connection, camera, now_us, last)
        return len(expired)

    @staticmethod
    def _ended(authorisation: Authorisation, now_us: int) -> Authorisation:
        if authorisation.state(now_us) == "expired":
            return authorisation.expired(now_us)
        return authorisation.withdrawn(now_us)

    def _check_jurisdiction(self, name: str) -> None:
        if name not in self.jurisdictions:
            raise UnknownJurisdictionError(name, self.jurisdictions)

    def _pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise UnknownPoolError(name, list(self.pools))
        return self.pools[name]

    async def _save_next(
        self,
        connection: AsyncConnection,
        camera: Camera,
        now_us: int,
        event: str,
        authorisation_id: str,
        changed: tuple[str, ...] = (),
    ) -> None:
        advanced = camera.advanced()
        record = audit_trail.owner_act(
            event, advanced, now_us, authorisation_id=authorisation_id, changed=changed
        )
        await self._save(connection, advanced, now_us, record)

    async def _save(
        self, connection: AsyncConnection, camera: Camera, now_us: int, record: AuditRecord
    ) -> OwnCamera:
        await rows.save_camera(connection, camera)
        authorisations = await rows.open_authorisations(connection, [camera.camera_id])
        return await self._stage(connection, camera, authorisations, now_us, record)

    async def _stage(
        self,
        connection: AsyncConnection,
        camera: Camera,
        authorisations: Sequence[Authorisation],
        now_us: int,
        record: AuditRecord,
    ) -> OwnCamera:
        state = camera_state(camera, authorisations, now_us)
        await self.outbox.stage_state(
            connection, topic=CAMERA_STATE, key=camera.camera_id, version=camera.version, message=state
        )
        await self.outbox.stage_event(connection, topic=AUDIT_EVENTS, key=camera.camera_id, message=record)
        return OwnCamera(camera, sharing(camera, authorisations, now_us))
