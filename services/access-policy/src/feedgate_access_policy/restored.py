"""What a grant is after its database was restored from a backup: closed if it was closed, never longer than it was."""

from dataclasses import replace

from feedgate_access_policy.grant import Grant
from feedgate_contracts.grant.v1 import grant_pb2
from feedgate_kit.published import LOST_IN_RESTORE, Published

GrantPublished = Published[grant_pb2.GrantState]


def restored(grant: Grant, published: GrantPublished, now_us: int) -> Grant:
    """The next version of a grant whose record in the topic is ahead; one that cannot be read closes it.

    Readers keep the highest version, so it has to be higher than the record's.
    """
    said = published.value
    after = replace(grant, version=published.version + 1)
    if not grant.is_open:
        return after
    if said is None or said.phase != grant_pb2.GRANT_PHASE_OPEN:
        reason = (said.closed_reason if said is not None else "") or LOST_IN_RESTORE
        return replace(after, closed_reason=reason, closed_at_us=now_us)
    return replace(after, not_after_us=min(grant.not_after_us, said.not_after.ToMicroseconds()))


def closed(grant_id: str, published: GrantPublished) -> grant_pb2.GrantState | None:
    """The next record of a grant that the database never heard of; None if it is closed already."""
    state = grant_pb2.GrantState()
    if published.value is not None:
        if published.value.phase == grant_pb2.GRANT_PHASE_CLOSED:
            return None
        state.CopyFrom(published.value)
    state.grant_id = grant_id
    state.version = published.version + 1
    state.phase = grant_pb2.GRANT_PHASE_CLOSED
    state.closed_reason = LOST_IN_RESTORE
    return state


def event_of(before: Grant, after: Grant) -> str:
    """What the audit record calls the difference."""
    if before.is_open and not after.is_open:
        return "grant.closed"
    return "grant.tightened" if after.not_after_us < before.not_after_us else "grant.restored"
