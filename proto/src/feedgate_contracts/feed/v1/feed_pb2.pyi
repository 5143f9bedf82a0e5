import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeedPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEED_PHASE_UNSPECIFIED: _ClassVar[FeedPhase]
    FEED_PHASE_IDLE: _ClassVar[FeedPhase]
    FEED_PHASE_CONNECTING: _ClassVar[FeedPhase]
    FEED_PHASE_LIVE: _ClassVar[FeedPhase]
    FEED_PHASE_RETRYING: _ClassVar[FeedPhase]
    FEED_PHASE_REFUSED: _ClassVar[FeedPhase]
FEED_PHASE_UNSPECIFIED: FeedPhase
FEED_PHASE_IDLE: FeedPhase
FEED_PHASE_CONNECTING: FeedPhase
FEED_PHASE_LIVE: FeedPhase
FEED_PHASE_RETRYING: FeedPhase
FEED_PHASE_REFUSED: FeedPhase

class FeedState(_message.Message):
    __slots__ = ("stream", "phase", "reason", "detail", "codec", "width", "height", "pictures_per_second", "keyframe_interval_s", "worker_id", "run", "changed_at")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PICTURES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    stream: str
    phase: FeedPhase
    reason: str
    detail: str
    codec: str
    width: int
    height: int
    pictures_per_second: float
    keyframe_interval_s: float
    worker_id: str
    run: str
    changed_at: _timestamp_pb2.Timestamp
    def __init__(self, stream: _Optional[str] = ..., phase: _Optional[_Union[FeedPhase, str]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., codec: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., pictures_per_second: _Optional[float] = ..., keyframe_interval_s: _Optional[float] = ..., worker_id: _Optional[str] = ..., run: _Optional[str] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
