"""Cameras and authorisations as rows. Every function works in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, Select, and_, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_registry.authorisation import Authorisation, Scope
from feedgate_registry.camera import Camera, Place
from feedgate_registry.schedule import Schedule, Window
from feedgate_registry.tables import AUTHORISATIONS, CAMERAS, OWNERS

_CAMERA_COLUMNS = [column for column in CAMERAS.c if column.name != "sealed_source"]


async def owner_exists(connection: AsyncConnection, owner: str) -> bool:
    found = await connection.execute(select(OWNERS.c.owner).where(OWNERS.c.owner == owner))
    return found.first() is not None


async def add_owner(
    connection: AsyncConnection, owner: str, *, issuer: str, subject: str, created_at_us: int
) -> bool:
    """Whether the account is new; two first calls at once make one account."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(OWNERS)
        .values(owner=owner, issuer=issuer, subject=subject, created_at_us=created_at_us)
        .on_conflict_do_nothing()
        .returning(OWNERS.c.owner)
    )
    return (await connection.execute(statement)).first() is not None


async def find_camera(connection: AsyncConnection, camera_id: str, *, locked: bool = False) -> Camera | None:
    """The camera, removed or not.

    With `locked` its row is held until the transaction ends, so that changes of
    one camera and its authorisations follow each other. SQLite's BEGIN IMMEDIATE
    already holds everything.
    """
    query = select(*_CAMERA_COLUMNS).where(CAMERAS.c.camera_id == camera_id)
    row = (await connection.execute(_locking(query, locked=locked))).first()
    return None if row is None else _camera(row)


async def list_cameras(
    connection: AsyncConnection, owner: str, *, after: str | None, limit: int
) -> list[Camera]:
    """The owner's cameras that were not removed, oldest first, after a camera id."""
    query = (
        select(*_CAMERA_COLUMNS)
        .where(CAMERAS.c.owner == owner, CAMERAS.c.removed_at_us.is_(None))
        .order_by(CAMERAS.c.camera_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(CAMERAS.c.camera_id > after)
    return [_camera(row) for row in await connection.execute(query)]


async def add_camera(connection: AsyncConnection, camera: Camera, sealed_source: bytes) -> None:
    await connection.execute(insert(CAMERAS).values(**_camera_row(camera), sealed_source=sealed_source))


async def save_camera(connection: AsyncConnection, camera: Camera) -> None:
    """Write the camera's next version; its sealed source stays as it is."""
    await connection.execute(
        update(CAMERAS).where(CAMERAS.c.camera_id == camera.camera_id).values(**_camera_row(camera))
    )


async def save_sealed_source(
    connection: AsyncConnection, camera_id: str, sealed_source: bytes | None
) -> None:
    await connection.execute(
        update(CAMERAS).where(CAMERAS.c.camera_id == camera_id).values(sealed_source=sealed_source)
    )


async def read_sealed_source(connection: AsyncConnection, camera_id: str) -> bytes | None:
    query = select(CAMERAS.c.sealed_source).where(CAMERAS.c.camera_id == camera_id)
    sealed = (await connection.execute(query)).scalar_one()
    return None if sealed is None else bytes(sealed)


async def sealed_to_other_keys(
    connection: AsyncConnection, pool: str, key_id: str, *, after: str, limit: int
) -> list[tuple[Camera, bytes]]:
    """A pool's cameras whose source is sealed to another key, with it, by id after one; held as in `find_camera`."""
    query = (
        select(*_CAMERA_COLUMNS, CAMERAS.c.sealed_source)
        .where(
            CAMERAS.c.ingest_pool == pool,
            CAMERAS.c.sealed_source.is_not(None),
            CAMERAS.c.source_key_id != key_id,
            CAMERAS.c.camera_id > after,
        )
        .order_by(CAMERAS.c.camera_id)
        .limit(limit)
    )
    found = await connection.execute(_locking(query, locked=True))
    return [(_camera(row), bytes(row.sealed_source)) for row in found]


async def save_resealed_source(
    connection: AsyncConnection, camera_id: str, key_id: str, sealed_source: bytes
) -> None:
    """The same source, sealed to another key. Nothing that anybody was told of the camera changes."""
    await connection.execute(
        update(CAMERAS)
        .where(CAMERAS.c.camera_id == camera_id)
        .values(source_key_id=key_id, sealed_source=sealed_source)
    )


async def find_authorisation(connection: AsyncConnection, authorisation_id: str) -> Authorisation | None:
    query = select(AUTHORISATIONS).where(AUTHORISATIONS.c.authorisation_id == authorisation_id)
    row = (await connection.execute(query)).first()
    return None if row is None else _authorisation(row)


async def list_authorisations(
    connection: AsyncConnection, camera_id: str, *, after: str | None, limit: int
) -> list[Authorisation]:
    """Authorisations of a camera, ended ones too, oldest first, after an authorisation id."""
    query = (
        select(AUTHORISATIONS)
        .where(AUTHORISATIONS.c.camera_id == camera_id)
        .order_by(AUTHORISATIONS.c.authorisation_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(AUTHORISATIONS.c.authorisation_id > after)
    return [_authorisation(row) for row in await connection.execute(query)]


async def open_authorisations(connection: AsyncConnection, camera_ids: Sequence[str]) -> list[Authorisation]:
    """Those neither withdrawn nor put on record as expired; one may be past its expiry."""
    query = select(AUTHORISATIONS).where(AUTHORISATIONS.c.camera_id.in_(camera_ids), _is_open())
    return [_authorisation(row) for row in await connection.execute(query)]


async def cameras_with_expired(connection: AsyncConnection, now_us: int, limit: int) -> list[str]:
    """Ids of cameras with an authorisation past its expiry that is not yet on record as expired."""
    query = (
        select(AUTHORISATIONS.c.camera_id)
        .where(_is_open(), AUTHORISATIONS.c.expires_at_us <= now_us)
        .distinct()
        .limit(limit)
    )
    return list((await connection.execute(query)).scalars())


async def add_authorisation(connection: AsyncConnection, authorisation: Authorisation) -> None:
    await connection.execute(insert(AUTHORISATIONS).values(**_authorisation_row(authorisation)))


async def save_authorisation(connection: AsyncConnection, authorisation: Authorisation) -> None:
    await connection.execute(
        update(AUTHORISATIONS)
        .where(AUTHORISATIONS.c.authorisation_id == authorisation.authorisation_id)
        .values(**_authorisation_row(authorisation))
    )


def _is_open() -> Any:
    return and_(AUTHORISATIONS.c.withdrawn_at_us.is_(None), AUTHORISATIONS.c.expired_at_us.is_(None))


def _locking(query: Select[Any], *, locked: bool) -> Select[Any]:
    return query.with_for_update() if locked else query  # SQLite's dialect leaves FOR UPDATE out


def _camera(row: Row[Any]) -> Camera:
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's documented name
    values.pop("sealed_source", None)
    place = Place(
        values.pop("longitude"),
        values.pop("latitude"),
        values.pop("bearing_degrees"),
        values.pop("field_of_view_degrees"),
    )
    return Camera(place=place, **values)


def _camera_row(camera: Camera) -> dict[str, Any]:
    values = asdict(camera)
    place: dict[str, float] = values.pop("place")
    return values | place


def _authorisation(row: Row[Any]) -> Authorisation:
    scope = Scope(
        agencies=tuple(row.agencies),
        purposes=tuple(row.purposes),
        renditions=tuple(row.renditions),
        schedule=_schedule(row.schedule),
        expires_at_us=row.expires_at_us,
    )
    return Authorisation(
        authorisation_id=row.authorisation_id,
        camera_id=row.camera_id,
        version=row.version,
        scope=scope,
        approval_mode=row.approval_mode,
        given_at_us=row.given_at_us,
        withdrawn_at_us=row.withdrawn_at_us,
        expired_at_us=row.expired_at_us,
    )


def _authorisation_row(authorisation: Authorisation) -> dict[str, Any]:
    values = asdict(authorisation)
    scope = values.pop("scope")
    return values | {
        name: list(value) if isinstance(value, tuple) else value for name, value in scope.items()
    }


def _schedule(stored: Any) -> Schedule | None:
    if stored is None:
        return None
    return Schedule(stored["time_zone"], tuple(Window(**window) for window in stored["windows"]))
