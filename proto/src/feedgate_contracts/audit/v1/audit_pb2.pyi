import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_UNSPECIFIED: _ClassVar[Operation]
    OPERATION_COLLECTION: _ClassVar[Operation]
    OPERATION_ALTERATION: _ClassVar[Operation]
    OPERATION_CONSULTATION: _ClassVar[Operation]
    OPERATION_DISCLOSURE: _ClassVar[Operation]
    OPERATION_COMBINATION: _ClassVar[Operation]
    OPERATION_ERASURE: _ClassVar[Operation]
    OPERATION_DECISION: _ClassVar[Operation]
    OPERATION_CONSENT: _ClassVar[Operation]
OPERATION_UNSPECIFIED: Operation
OPERATION_COLLECTION: Operation
OPERATION_ALTERATION: Operation
OPERATION_CONSULTATION: Operation
OPERATION_DISCLOSURE: Operation
OPERATION_COMBINATION: Operation
OPERATION_ERASURE: Operation
OPERATION_DECISION: Operation
OPERATION_CONSENT: Operation

class AuditRecord(_message.Message):
    __slots__ = ("record_id", "operation", "event", "occurred_at", "service", "actor", "owner", "camera_id", "authorisation_id", "request_id", "grant_id", "view_id", "justification", "outcome", "usage", "reason", "dark_at", "dark_ms", "detail")
    class DetailEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    AUTHORISATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    VIEW_ID_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DARK_AT_FIELD_NUMBER: _ClassVar[int]
    DARK_MS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    record_id: str
    operation: Operation
    event: str
    occurred_at: _timestamp_pb2.Timestamp
    service: str
    actor: Actor
    owner: str
    camera_id: str
    authorisation_id: str
    request_id: str
    grant_id: str
    view_id: str
    justification: Justification
    outcome: Outcome
    usage: Usage
    reason: str
    dark_at: _timestamp_pb2.Timestamp
    dark_ms: int
    detail: _containers.ScalarMap[str, str]
    def __init__(self, record_id: _Optional[str] = ..., operation: _Optional[_Union[Operation, str]] = ..., event: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., service: _Optional[str] = ..., actor: _Optional[_Union[Actor, _Mapping]] = ..., owner: _Optional[str] = ..., camera_id: _Optional[str] = ..., authorisation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., grant_id: _Optional[str] = ..., view_id: _Optional[str] = ..., justification: _Optional[_Union[Justification, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., reason: _Optional[str] = ..., dark_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dark_ms: _Optional[int] = ..., detail: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Actor(_message.Message):
    __slots__ = ("pseudonym", "agency", "role")
    PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    AGENCY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    pseudonym: str
    agency: str
    role: str
    def __init__(self, pseudonym: _Optional[str] = ..., agency: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class Justification(_message.Message):
    __slots__ = ("purpose", "case_number", "basis_codes")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CASE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    BASIS_CODES_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    case_number: str
    basis_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, purpose: _Optional[str] = ..., case_number: _Optional[str] = ..., basis_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("permitted", "reasons", "policy_version")
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    permitted: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    policy_version: str
    def __init__(self, permitted: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ..., policy_version: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("pictures", "bytes", "first_picture_at", "last_picture_at")
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRST_PICTURE_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_PICTURE_AT_FIELD_NUMBER: _ClassVar[int]
    pictures: int
    bytes: int
    first_picture_at: _timestamp_pb2.Timestamp
    last_picture_at: _timestamp_pb2.Timestamp
    def __init__(self, pictures: _Optional[int] = ..., bytes: _Optional[int] = ..., first_picture_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_picture_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
