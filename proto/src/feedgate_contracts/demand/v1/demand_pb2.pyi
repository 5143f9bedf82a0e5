import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamDemanded(_message.Message):
    __slots__ = ("stream", "relay_id", "release", "demanded_at")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    RELAY_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DEMANDED_AT_FIELD_NUMBER: _ClassVar[int]
    stream: str
    relay_id: str
    release: bool
    demanded_at: _timestamp_pb2.Timestamp
    def __init__(self, stream: _Optional[str] = ..., relay_id: _Optional[str] = ..., release: _Optional[bool] = ..., demanded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
