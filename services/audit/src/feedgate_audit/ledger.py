"""What an owner reads: who looked, when, why, how long, and what they themselves did.

Never a case number, a name or anything else of the inquiry: an agency, a
pseudonym, a purpose and the legal bases.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp

from feedgate_contracts.audit.v1.audit_pb2 import AuditRecord
from feedgate_kit.clock import to_datetime
from feedgate_kit.http import ApiModel

CONTINUES_A_VIEW = frozenset({"view.usage", "view.ended", "view.dark"})
"""Events that tell more of a view already in the ledger and open no entry of their own."""

LAST_WORDS = frozenset({"stopped", "view_ended"})
"""The notices that end a view, as `view.dark` names the one it answers."""


class ViewEntry(ApiModel):
    """One live view of one camera."""

    kind: Literal["view"] = "view"
    at: datetime  # when it was opened
    camera_id: str
    authorisation_id: str
    grant_id: str
    view_id: str
    agency: str
    viewer: str  # pseudonym; only access-policy's database leads from it to a person
    purpose: str
    basis_codes: list[str]
    pictures: int  # handed to the viewer so far
    last_picture_at: datetime | None
    ended_at: datetime | None  # None while it is open
    ended_reason: str | None
    dark_at: datetime | None  # the relay's last byte of a picture
    dark_ms: int | None  # from the page's notice to its covered tile, where a page said so


class ActEntry(ApiModel):
    """Something else done to the owner's cameras: by the owner, or tried and refused."""

    kind: Literal["act"] = "act"
    at: datetime
    event: str
    camera_id: str
    authorisation_id: str
    role: str
    agency: str
    actor: str  # pseudonym; empty for the owner
    purpose: str
    permitted: bool | None  # None where nothing was decided
    reasons: list[str]


def ledger_of(openings: Sequence[AuditRecord], of_views: Iterable[AuditRecord]) -> list[ViewEntry | ActEntry]:
    """The entries that `openings` open, in their order.

    Args:
        openings: records that are no `CONTINUES_A_VIEW`.
        of_views: everything recorded of the views among them, oldest first.
    """
    views: dict[str, list[AuditRecord]] = {}
    for record in of_views:
        views.setdefault(record.view_id, []).append(record)
    return [
        _view_entry(record, views.get(record.view_id, []))
        if record.event == "view.started"
        else _act_entry(record)
        for record in openings
    ]


def _view_entry(started: AuditRecord, records: Sequence[AuditRecord]) -> ViewEntry:
    counted = [record for record in records if record.HasField("usage")]
    # Counts grow from record to record; they may be read in another order than written.
    last = max(counted, key=lambda record: record.usage.pictures, default=None)
    ended = next((record for record in records if record.event == "view.ended"), None)
    # A page covers its tile more than once in a view; the proof is of the last time.
    dark = next(
        (record for record in records if record.event == "view.dark" and record.reason in LAST_WORDS), None
    )
    return ViewEntry(
        at=_required(started.occurred_at),
        camera_id=started.camera_id,
        authorisation_id=started.authorisation_id,
        grant_id=started.grant_id,
        view_id=started.view_id,
        agency=started.actor.agency,
        viewer=started.actor.pseudonym,
        purpose=started.justification.purpose,
        basis_codes=list(started.justification.basis_codes),
        pictures=0 if last is None else last.usage.pictures,
        last_picture_at=None if last is None else _optional(last.usage.last_picture_at),
        ended_at=None if ended is None else _required(ended.occurred_at),
        ended_reason=None if ended is None else ended.reason,
        dark_at=_optional(ended.dark_at) if ended is not None else None,
        dark_ms=None if dark is None else dark.dark_ms,
    )


def _act_entry(record: AuditRecord) -> ActEntry:
    decided = record.HasField("outcome")
    reasons = list(record.outcome.reasons) if decided else []
    if record.reason and record.reason not in reasons:
        reasons.append(record.reason)
    return ActEntry(
        at=_required(record.occurred_at),
        event=record.event,
        camera_id=record.camera_id,
        authorisation_id=record.authorisation_id,
        role=record.actor.role,
        agency=record.actor.agency,
        actor="" if record.actor.role == "owner" else record.actor.pseudonym,
        purpose=record.justification.purpose,
        permitted=record.outcome.permitted if decided else None,
        reasons=reasons,
    )


def _required(at: Timestamp) -> datetime:
    return to_datetime(at.ToMicroseconds())


def _optional(at: Timestamp) -> datetime | None:
    microseconds = at.ToMicroseconds()
    return to_datetime(microseconds) if microseconds else None
