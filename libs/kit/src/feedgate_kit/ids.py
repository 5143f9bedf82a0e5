"""Identifiers: UUIDv7 (RFC 9562 §5.7), which sort by the time they were made."""

import uuid_utils


def new_id() -> str:
    """A UUIDv7 as lower-case text with hyphens."""
    return str(uuid_utils.uuid7())


def new_run() -> bytes:
    """A UUIDv7 as 16 bytes, big-endian, for one unbroken camera session."""
    return bytes(uuid_utils.uuid7().bytes)
