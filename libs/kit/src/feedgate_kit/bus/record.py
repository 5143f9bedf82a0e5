"""What travels on the bus: a key, bytes and CloudEvents headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HEARTBEAT_KEY = "~heartbeat"
"""Record key of the heartbeats in a state topic; no entity has it."""

VERSION_HEADER = "version"
"""Header of state records: the version, readable even where the value is not."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Record:
    """One message, before and after the bus."""

    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in an event log."""

    record: Record
    position: str  # opaque; hand it back to read on after this record
