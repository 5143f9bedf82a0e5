import datetime

from feedgate_contracts.media.v1 import access_unit_pb2 as _access_unit_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NoticeCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_CODE_UNSPECIFIED: _ClassVar[NoticeCode]
    NOTICE_CODE_STARTED: _ClassVar[NoticeCode]
    NOTICE_CODE_STOPPED: _ClassVar[NoticeCode]
    NOTICE_CODE_PAUSED_BY_OWNER: _ClassVar[NoticeCode]
    NOTICE_CODE_RESUMED: _ClassVar[NoticeCode]
    NOTICE_CODE_CAMERA_LOST: _ClassVar[NoticeCode]
    NOTICE_CODE_WAITING_FOR_KEYFRAME: _ClassVar[NoticeCode]
    NOTICE_CODE_EXPIRING: _ClassVar[NoticeCode]
    NOTICE_CODE_OUT_OF_SCHEDULE: _ClassVar[NoticeCode]
    NOTICE_CODE_NOT_FRESH: _ClassVar[NoticeCode]
    NOTICE_CODE_GAP: _ClassVar[NoticeCode]
    NOTICE_CODE_VIEW_ENDED: _ClassVar[NoticeCode]
NOTICE_CODE_UNSPECIFIED: NoticeCode
NOTICE_CODE_STARTED: NoticeCode
NOTICE_CODE_STOPPED: NoticeCode
NOTICE_CODE_PAUSED_BY_OWNER: NoticeCode
NOTICE_CODE_RESUMED: NoticeCode
NOTICE_CODE_CAMERA_LOST: NoticeCode
NOTICE_CODE_WAITING_FOR_KEYFRAME: NoticeCode
NOTICE_CODE_EXPIRING: NoticeCode
NOTICE_CODE_OUT_OF_SCHEDULE: NoticeCode
NOTICE_CODE_NOT_FRESH: NoticeCode
NOTICE_CODE_GAP: NoticeCode
NOTICE_CODE_VIEW_ENDED: NoticeCode

class FrameEvent(_message.Message):
    __slots__ = ("event_id", "stream", "grant_id", "occurred_at", "group_of_pictures", "notice")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    GROUP_OF_PICTURES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    stream: str
    grant_id: str
    occurred_at: _timestamp_pb2.Timestamp
    group_of_pictures: GroupOfPictures
    notice: Notice
    def __init__(self, event_id: _Optional[str] = ..., stream: _Optional[str] = ..., grant_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., group_of_pictures: _Optional[_Union[GroupOfPictures, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ...) -> None: ...

class GroupOfPictures(_message.Message):
    __slots__ = ("run", "epoch", "rendition", "conditions", "codec", "mask_version", "ticks_per_second", "previous_digest", "pictures")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RENDITION_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    MASK_VERSION_FIELD_NUMBER: _ClassVar[int]
    TICKS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    epoch: _access_unit_pb2.Epoch
    rendition: str
    conditions: _containers.RepeatedScalarFieldContainer[str]
    codec: _access_unit_pb2.Codec
    mask_version: int
    ticks_per_second: int
    previous_digest: bytes
    pictures: _containers.RepeatedCompositeFieldContainer[Picture]
    def __init__(self, run: _Optional[bytes] = ..., epoch: _Optional[_Union[_access_unit_pb2.Epoch, _Mapping]] = ..., rendition: _Optional[str] = ..., conditions: _Optional[_Iterable[str]] = ..., codec: _Optional[_Union[_access_unit_pb2.Codec, str]] = ..., mask_version: _Optional[int] = ..., ticks_per_second: _Optional[int] = ..., previous_digest: _Optional[bytes] = ..., pictures: _Optional[_Iterable[_Union[Picture, _Mapping]]] = ...) -> None: ...

class Picture(_message.Message):
    __slots__ = ("sequence", "dts", "received_at_us", "size_bytes", "digest")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DTS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_US_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    dts: int
    received_at_us: int
    size_bytes: int
    digest: bytes
    def __init__(self, sequence: _Optional[int] = ..., dts: _Optional[int] = ..., received_at_us: _Optional[int] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("code", "reason", "detail", "view_id")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VIEW_ID_FIELD_NUMBER: _ClassVar[int]
    code: NoticeCode
    reason: str
    detail: str
    view_id: str
    def __init__(self, code: _Optional[_Union[NoticeCode, str]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., view_id: _Optional[str] = ...) -> None: ...
