"""Ingest's nouns as records on the bus, and back."""

from collections.abc import Callable
from types import MappingProxyType

from google.protobuf.message import DecodeError

from feedgate_contracts.demand.v1.demand_pb2 import StreamDemanded
from feedgate_contracts.feed.v1 import feed_pb2
from feedgate_contracts.media.v1 import access_unit_pb2
from feedgate_ingest.access_unit import TICKS_PER_SECOND, AccessUnit, Stream, StreamNameError
from feedgate_ingest.feed_state import FeedState, idle
from feedgate_ingest.reasons import Phase, Reason
from feedgate_kit.bus.cloudevents import headers_for, media_headers
from feedgate_kit.bus.record import VERSION_HEADER, Record
from feedgate_kit.clock import Clock
from feedgate_kit.errors import UnreadableRecordError

PHASES = {
    Phase.IDLE: feed_pb2.FEED_PHASE_IDLE,
    Phase.CONNECTING: feed_pb2.FEED_PHASE_CONNECTING,
    Phase.LIVE: feed_pb2.FEED_PHASE_LIVE,
    Phase.RETRYING: feed_pb2.FEED_PHASE_RETRYING,
    Phase.REFUSED: feed_pb2.FEED_PHASE_REFUSED,
}

_MEDIA_HEADERS = MappingProxyType(media_headers(access_unit_pb2.AccessUnit.DESCRIPTOR.full_name))


def unit_record(unit: AccessUnit) -> Record:
    """One picture for `ingest.access-unit.media.v1`."""
    message = access_unit_pb2.AccessUnit(
        stream=unit.stream,
        run=unit.run,
        sequence=unit.sequence,
        dts=unit.dts,
        pts=unit.pts,
        ticks_per_second=TICKS_PER_SECOND,
        is_random_access_point=unit.is_random_access_point,
        codec=access_unit_pb2.CODEC_H264,
        nal_units=unit.nal_units,
        parameter_sets=unit.parameter_sets,
        camera_time_us=unit.camera_time_us,
        camera_time_trusted=unit.camera_time_trusted,
        received_at_us=unit.received_at_us,
        mask_version=unit.mask_version,
        digest=unit.digest,
        previous_digest=unit.previous_digest,
    )
    message.epoch.pool_version = unit.epoch.pool_version
    message.epoch.generation = unit.epoch.generation
    return Record(unit.stream, message.SerializeToString(), _MEDIA_HEADERS)


def state_record(state: FeedState, *, version: int, worker_id: str, clock: Clock) -> Record:
    """How a stream fares, for `ingest.feed.state.v1`."""
    message = feed_pb2.FeedState(
        stream=state.stream,
        phase=PHASES[state.phase],
        reason=state.reason,
        detail=state.detail,
        worker_id=worker_id,
        run=state.run,
    )
    if state.format is not None:
        message.codec, message.width, message.height = (
            state.format.codec,
            state.format.width,
            state.format.height,
        )
    if state.quality is not None:
        message.pictures_per_second = round(state.quality.pictures_per_second, 2)
        message.keyframe_interval_s = round(state.quality.keyframe_interval_s, 3)
    message.changed_at.FromMicroseconds(state.changed_at_us)
    headers = headers_for(
        type=message.DESCRIPTOR.full_name, source="ingest", subject=state.stream, clock=clock
    )
    return Record(state.stream, message.SerializeToString(), {**headers, VERSION_HEADER: str(version)})


def state_version(record: Record) -> int:
    """The version of a state record; 0 where it has none that can be read."""
    version = record.headers.get(VERSION_HEADER, "")
    return int(version) if version.isascii() and version.isdigit() else 0


def taken_back(record: Record, *, is_ours: Callable[[str], bool], clock: Clock) -> FeedState | None:
    """What is to be said now instead of what was said of a stream by whoever had it before, if anything.

    Args:
        record: the last word on a stream.
        is_ours: whether a stream is this worker's now.
        clock: of this worker.
    """
    try:
        message = feed_pb2.FeedState.FromString(record.value)
        if message.phase == feed_pb2.FEED_PHASE_IDLE or not is_ours(record.key):
            return None
    except (DecodeError, StreamNameError):
        return None
    return idle(record.key, Reason.WORKER_ENDED, clock.now_us())


def decode_demand(record: Record) -> StreamDemanded:
    """A relay's demand.

    Raises:
        UnreadableRecordError: it is none, or is about nothing that is a stream.
    """
    try:
        message = StreamDemanded.FromString(record.value)
        Stream.parse(message.stream)
    except (DecodeError, StreamNameError) as error:
        raise UnreadableRecordError(f"not a demand: {error}") from error
    if not message.relay_id or not message.HasField("demanded_at"):
        raise UnreadableRecordError("a demand without its relay or its time")
    return message
