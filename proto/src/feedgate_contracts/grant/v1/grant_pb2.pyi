import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GrantPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRANT_PHASE_UNSPECIFIED: _ClassVar[GrantPhase]
    GRANT_PHASE_OPEN: _ClassVar[GrantPhase]
    GRANT_PHASE_CLOSED: _ClassVar[GrantPhase]
GRANT_PHASE_UNSPECIFIED: GrantPhase
GRANT_PHASE_OPEN: GrantPhase
GRANT_PHASE_CLOSED: GrantPhase

class GrantState(_message.Message):
    __slots__ = ("grant_id", "version", "request_id", "camera_id", "authorisation_id", "agency", "operators", "rendition", "conditions", "purpose", "basis_codes", "opens_at", "not_after", "phase", "closed_reason")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHORISATION_ID_FIELD_NUMBER: _ClassVar[int]
    AGENCY_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    RENDITION_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    BASIS_CODES_FIELD_NUMBER: _ClassVar[int]
    OPENS_AT_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_REASON_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    version: int
    request_id: str
    camera_id: str
    authorisation_id: str
    agency: str
    operators: _containers.RepeatedScalarFieldContainer[str]
    rendition: str
    conditions: _containers.RepeatedScalarFieldContainer[str]
    purpose: str
    basis_codes: _containers.RepeatedScalarFieldContainer[str]
    opens_at: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    phase: GrantPhase
    closed_reason: str
    def __init__(self, grant_id: _Optional[str] = ..., version: _Optional[int] = ..., request_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., authorisation_id: _Optional[str] = ..., agency: _Optional[str] = ..., operators: _Optional[_Iterable[str]] = ..., rendition: _Optional[str] = ..., conditions: _Optional[_Iterable[str]] = ..., purpose: _Optional[str] = ..., basis_codes: _Optional[_Iterable[str]] = ..., opens_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase: _Optional[_Union[GrantPhase, str]] = ..., closed_reason: _Optional[str] = ...) -> None: ...
