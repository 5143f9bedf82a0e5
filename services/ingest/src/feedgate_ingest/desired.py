"""Which streams ought to be connected right now, and why the others are not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from feedgate_contracts.camera.v1.camera_pb2 import SHARING_ON, SHARING_PAUSED, CameraState
from feedgate_ingest.access_unit import Rendition, Stream, StreamNameError
from feedgate_ingest.reasons import Reason


@dataclass(frozen=True, slots=True)
class Target:
    """What a session needs to know of a camera's record."""

    stream: Stream
    camera_version: int
    pool_version: int
    mask_version: int


@dataclass(frozen=True, slots=True)
class Desired:
    """Every demanded stream of this worker is in exactly one of the two."""

    connected: dict[str, Target] = field(default_factory=dict)
    withheld: dict[str, Reason] = field(default_factory=dict)


def desired(
    demanded: Iterable[str],
    camera: Callable[[str], CameraState | None],
    covers: Callable[[str], bool],
    *,
    is_fresh: bool,
    pool: str,
) -> Desired:
    """What to connect: demanded, shared by its owner as far as is known, and of this pool.

    Args:
        demanded: names of streams some relay has an open view of.
        camera: the record in force of a camera, None where there is none or it is unreadable.
        covers: whether a camera is this worker's among those of its pool. Streams of the others appear
            nowhere in the answer.
        is_fresh: whether those records can be relied on now.
        pool: this worker's. Nor do streams of other pools.
    """
    answer = Desired()
    for name in demanded:
        try:
            stream = Stream.parse(name)
        except StreamNameError:
            continue
        if not covers(stream.camera_id):
            continue
        state = camera(stream.camera_id)
        # A camera moved elsewhere is another worker's to speak of.
        if state is not None and state.ingest_pool != pool:
            continue
        reason = _withheld(stream, state, is_fresh=is_fresh)
        if reason is not None:
            answer.withheld[name] = reason
        elif state is not None:
            answer.connected[name] = Target(stream, state.version, state.pool_version, state.mask_version)
    return answer


def is_stopped(state: CameraState | None) -> bool:
    """Whether its owner wants no picture of it on its way any more, as far as is known.

    Masks are such a wish too: what was sent before them shows what they hide.
    """
    return state is not None and (state.removed or state.sharing != SHARING_ON or bool(state.masks))


def _withheld(stream: Stream, state: CameraState | None, *, is_fresh: bool) -> Reason | None:
    if state is None:
        return Reason.CAMERA_UNKNOWN
    if not is_fresh:
        return Reason.STATE_NOT_FRESH
    if state.removed:
        return Reason.CAMERA_REMOVED
    if state.sharing != SHARING_ON:
        return Reason.SHARING_PAUSED if state.sharing == SHARING_PAUSED else Reason.SHARING_STOPPED
    # A camera with masks has no unmasked rendition for anyone (design §4).
    if stream.rendition != Rendition.ORIGINAL or state.masks:
        return Reason.RENDITION_UNAVAILABLE
    return None
