"""What audit takes from the bus: facts of two types, read without changing a byte."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_contracts.decision.v1.decision_pb2 import DecisionMade
from feedgate_kit.bus.record import Record
from feedgate_kit.errors import UnreadableRecordError

LONGEST_CHARS: Final = {"record_id": 60, "event": 60, "owner": 64, "camera_id": 60, "view_id": 60}
"""Of what questions are asked by; the table has this much room."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, with what questions are asked by."""

    type: str
    value: bytes
    record_id: str
    event: str
    occurred_at_us: int
    owner: str = ""
    camera_id: str = ""
    view_id: str = ""


def _of_audit_record(value: bytes) -> Fact:
    record = AuditRecord.FromString(value)
    return Fact(
        type=AuditRecord.DESCRIPTOR.full_name,
        value=value,
        record_id=record.record_id,
        event=record.event,
        occurred_at_us=record.occurred_at.ToMicroseconds(),
        owner=record.owner,
        camera_id=record.camera_id,
        view_id=record.view_id,
    )


def _of_decision(value: bytes) -> Fact:
    decision = DecisionMade.FromString(value)
    return Fact(
        type=DecisionMade.DESCRIPTOR.full_name,
        value=value,
        record_id=decision.decision_id,
        event="decision.made",
        occurred_at_us=decision.decided_at.ToMicroseconds(),
        camera_id=decision.camera_id,
    )


_READERS: Mapping[str, Callable[[bytes], Fact]] = {
    AuditRecord.DESCRIPTOR.full_name: _of_audit_record,
    DecisionMade.DESCRIPTOR.full_name: _of_decision,
}


def fact_of(record: Record) -> Fact:
    """The fact in a record of the bus.

    Raises:
        UnreadableRecordError: the type is none of ours, the bytes do not parse, there is no id, or
            the database could not keep it.
    """
    type_: Any = record.headers.get("ce_type", "")
    reader = _READERS.get(type_)
    if reader is None:
        raise UnreadableRecordError(f"type `{type_}`; allowed: {', '.join(f'`{name}`' for name in _READERS)}")
    try:
        fact = reader(record.value)
    except DecodeError as error:
        raise UnreadableRecordError(f"not a `{type_}`: {error}") from error
    if not fact.record_id:
        raise UnreadableRecordError(f"a `{type_}` without an id")
    for name, longest in LONGEST_CHARS.items():
        text: str = getattr(fact, name)
        if len(text) > longest or "\x00" in text:
            raise UnreadableRecordError(
                f"a `{type_}` whose `{name}` has {len(text)} characters;"
                f" allowed: at most {longest}, none of them NUL"
            )
    return fact
