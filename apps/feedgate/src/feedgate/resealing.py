"""Seals the stored sources of a pool to its next key. Each lies open for a moment, in this process's memory alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from feedgate.service_databases import ServiceDatabaseError, database_errors
from feedgate_kit.clock import SystemClock
from feedgate_kit.database import Database
from feedgate_kit.errors import FeedgateError
from feedgate_kit.migration import schema_of
from feedgate_kit.outbox import Outbox
from feedgate_kit.sealing import SealingError, open_sealed, read_private_keys, seal
from feedgate_kit.topics import audit_events
from feedgate_registry import audit_trail
from feedgate_registry.adapters import rows
from feedgate_registry.camera import Camera
from feedgate_registry.tables import OUTBOX

BATCH: Final = 50
"""Cameras whose rows one transaction holds: an owner's act on one of them waits some tens of milliseconds."""


class KeyFileError(FeedgateError):
    """A pool's keys cannot be read; nothing was changed."""


@dataclass(slots=True)
class Resealed:
    """How many sources are sealed to the next key now, and how many still to which other one."""

    done: int = 0
    left: Counter[str] = field(default_factory=Counter)  # by key id


def load_pool_keys(file: Path) -> Mapping[str, X25519PrivateKey]:
    """The keys of a pool's secret file.

    Raises:
        KeyFileError: there is none, or one cannot be read.
    """
    try:
        return read_private_keys(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"`{file}` cannot be read: {type(error).__name__}") from None
    except SealingError as error:
        raise KeyFileError(f"`{file}`: {error}") from None


async def reseal(database_url: str, pool: str, keys: Mapping[str, X25519PrivateKey]) -> Resealed:
    """Seal every source of a pool to the first of its keys; registry may run meanwhile.

    Args:
        database_url: registry's own.
        pool: whose cameras.
        keys: by key id; a source sealed to none of them is left as it is.

    Raises:
        ServiceDatabaseError: the database cannot be reached, refused, or is not at this version's revision.
    """
    next_id, next_key = next(iter(keys.items()))
    result = Resealed()
    with database_errors("registry's sources cannot be sealed anew"):
        database = Database(database_url)
        try:
            if await schema_of(database, "feedgate_registry") not in {"current", "expanded"}:
                raise ServiceDatabaseError(
                    "registry's database is not at this version's revision; run `feedgate migrate registry` first"
                )
            clock = SystemClock()
            outbox = Outbox(OUTBOX, audit_trail.SERVICE, clock)
            after: str | None = ""
            while after is not None:
                async with database.begin() as connection:
                    found = await rows.sealed_to_other_keys(
                        connection, pool, next_id, after=after, limit=BATCH
                    )
                    for camera, sealed in found:
                        source = _opened(camera, sealed, keys)
                        if source is None:
                            result.left[camera.source_key_id] += 1
                            continue
                        anew = seal(
                            next_key.public_key(), source, camera.camera_id, camera.source_version, next_id
                        )
                        await rows.save_resealed_source(connection, camera.camera_id, next_id, anew)
                        await outbox.stage_event(
                            connection,
                            topic=audit_events(audit_trail.SERVICE),
                            key=camera.camera_id,
                            message=audit_trail.source_resealed(camera, clock.now_us()),
                        )
                        result.done += 1
                after = found[-1][0].camera_id if found else None
        finally:
            await database.close()
    return result


def _opened(camera: Camera, sealed: bytes, keys: Mapping[str, X25519PrivateKey]) -> bytes | None:
    """None where no key of these opens it."""
    key = keys.get(camera.source_key_id)
    if key is None:
        return None
    try:
        return open_sealed(key, sealed, camera.camera_id, camera.source_version, camera.source_key_id)
    except SealingError:
        return None
