from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_H264: _ClassVar[Codec]
    CODEC_H265: _ClassVar[Codec]
CODEC_UNSPECIFIED: Codec
CODEC_H264: Codec
CODEC_H265: Codec

class AccessUnit(_message.Message):
    __slots__ = ("stream", "epoch", "run", "sequence", "dts", "pts", "ticks_per_second", "is_random_access_point", "codec", "nal_units", "parameter_sets", "camera_time_us", "camera_time_trusted", "received_at_us", "mask_version", "digest", "previous_digest")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DTS_FIELD_NUMBER: _ClassVar[int]
    PTS_FIELD_NUMBER: _ClassVar[int]
    TICKS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    IS_RANDOM_ACCESS_POINT_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    NAL_UNITS_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_SETS_FIELD_NUMBER: _ClassVar[int]
    CAMERA_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CAMERA_TIME_TRUSTED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_US_FIELD_NUMBER: _ClassVar[int]
    MASK_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    stream: str
    epoch: Epoch
    run: bytes
    sequence: int
    dts: int
    pts: int
    ticks_per_second: int
    is_random_access_point: bool
    codec: Codec
    nal_units: _containers.RepeatedScalarFieldContainer[bytes]
    parameter_sets: _containers.RepeatedScalarFieldContainer[bytes]
    camera_time_us: int
    camera_time_trusted: bool
    received_at_us: int
    mask_version: int
    digest: bytes
    previous_digest: bytes
    def __init__(self, stream: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., run: _Optional[bytes] = ..., sequence: _Optional[int] = ..., dts: _Optional[int] = ..., pts: _Optional[int] = ..., ticks_per_second: _Optional[int] = ..., is_random_access_point: _Optional[bool] = ..., codec: _Optional[_Union[Codec, str]] = ..., nal_units: _Optional[_Iterable[bytes]] = ..., parameter_sets: _Optional[_Iterable[bytes]] = ..., camera_time_us: _Optional[int] = ..., camera_time_trusted: _Optional[bool] = ..., received_at_us: _Optional[int] = ..., mask_version: _Optional[int] = ..., digest: _Optional[bytes] = ..., previous_digest: _Optional[bytes] = ...) -> None: ...

class Epoch(_message.Message):
    __slots__ = ("pool_version", "generation")
    POOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    pool_version: int
    generation: int
    def __init__(self, pool_version: _Optional[int] = ..., generation: _Optional[int] = ...) -> None: ...
