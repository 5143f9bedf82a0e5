import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sharing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARING_UNSPECIFIED: _ClassVar[Sharing]
    SHARING_ON: _ClassVar[Sharing]
    SHARING_PAUSED: _ClassVar[Sharing]
    SHARING_STOPPED: _ClassVar[Sharing]
SHARING_UNSPECIFIED: Sharing
SHARING_ON: Sharing
SHARING_PAUSED: Sharing
SHARING_STOPPED: Sharing

class CameraState(_message.Message):
    __slots__ = ("camera_id", "version", "owner", "sharing", "resumed_at", "terms", "jurisdiction", "place", "masks", "mask_version", "ingest_pool", "pool_version", "removed")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    RESUMED_AT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    JURISDICTION_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    MASK_VERSION_FIELD_NUMBER: _ClassVar[int]
    INGEST_POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    version: int
    owner: str
    sharing: Sharing
    resumed_at: _timestamp_pb2.Timestamp
    terms: _containers.RepeatedCompositeFieldContainer[Terms]
    jurisdiction: str
    place: Place
    masks: _containers.RepeatedCompositeFieldContainer[Mask]
    mask_version: int
    ingest_pool: str
    pool_version: int
    removed: bool
    def __init__(self, camera_id: _Optional[str] = ..., version: _Optional[int] = ..., owner: _Optional[str] = ..., sharing: _Optional[_Union[Sharing, str]] = ..., resumed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., terms: _Optional[_Iterable[_Union[Terms, _Mapping]]] = ..., jurisdiction: _Optional[str] = ..., place: _Optional[_Union[Place, _Mapping]] = ..., masks: _Optional[_Iterable[_Union[Mask, _Mapping]]] = ..., mask_version: _Optional[int] = ..., ingest_pool: _Optional[str] = ..., pool_version: _Optional[int] = ..., removed: _Optional[bool] = ...) -> None: ...

class Terms(_message.Message):
    __slots__ = ("authorisation_id", "agencies", "purposes", "renditions", "schedule", "caps", "opens_at", "expires_at")
    AUTHORISATION_ID_FIELD_NUMBER: _ClassVar[int]
    AGENCIES_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    RENDITIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    OPENS_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    authorisation_id: str
    agencies: _containers.RepeatedScalarFieldContainer[str]
    purposes: _containers.RepeatedScalarFieldContainer[str]
    renditions: _containers.RepeatedScalarFieldContainer[str]
    schedule: WeeklySchedule
    caps: ViewerCaps
    opens_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, authorisation_id: _Optional[str] = ..., agencies: _Optional[_Iterable[str]] = ..., purposes: _Optional[_Iterable[str]] = ..., renditions: _Optional[_Iterable[str]] = ..., schedule: _Optional[_Union[WeeklySchedule, _Mapping]] = ..., caps: _Optional[_Union[ViewerCaps, _Mapping]] = ..., opens_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WeeklySchedule(_message.Message):
    __slots__ = ("time_zone", "windows")
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    time_zone: str
    windows: _containers.RepeatedCompositeFieldContainer[WeeklyWindow]
    def __init__(self, time_zone: _Optional[str] = ..., windows: _Optional[_Iterable[_Union[WeeklyWindow, _Mapping]]] = ...) -> None: ...

class WeeklyWindow(_message.Message):
    __slots__ = ("weekday", "from_minute", "until_minute")
    WEEKDAY_FIELD_NUMBER: _ClassVar[int]
    FROM_MINUTE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MINUTE_FIELD_NUMBER: _ClassVar[int]
    weekday: int
    from_minute: int
    until_minute: int
    def __init__(self, weekday: _Optional[int] = ..., from_minute: _Optional[int] = ..., until_minute: _Optional[int] = ...) -> None: ...

class ViewerCaps(_message.Message):
    __slots__ = ("concurrent_viewers", "daily_minutes")
    CONCURRENT_VIEWERS_FIELD_NUMBER: _ClassVar[int]
    DAILY_MINUTES_FIELD_NUMBER: _ClassVar[int]
    concurrent_viewers: int
    daily_minutes: int
    def __init__(self, concurrent_viewers: _Optional[int] = ..., daily_minutes: _Optional[int] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("longitude", "latitude", "bearing_degrees", "field_of_view_degrees")
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    BEARING_DEGREES_FIELD_NUMBER: _ClassVar[int]
    FIELD_OF_VIEW_DEGREES_FIELD_NUMBER: _ClassVar[int]
    longitude: float
    latitude: float
    bearing_degrees: float
    field_of_view_degrees: float
    def __init__(self, longitude: _Optional[float] = ..., latitude: _Optional[float] = ..., bearing_degrees: _Optional[float] = ..., field_of_view_degrees: _Optional[float] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("vertices",)
    VERTICES_FIELD_NUMBER: _ClassVar[int]
    vertices: _containers.RepeatedCompositeFieldContainer[MaskVertex]
    def __init__(self, vertices: _Optional[_Iterable[_Union[MaskVertex, _Mapping]]] = ...) -> None: ...

class MaskVertex(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...
