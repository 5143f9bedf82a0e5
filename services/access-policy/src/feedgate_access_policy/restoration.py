"""Brings a restored database back in front of its state topic. The caller holds the publisher's lock."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from feedgate_access_policy.adapters import grants, requests
from feedgate_access_policy.grant import Grant
from feedgate_access_policy.restored import GrantPublished, closed, event_of, restored
from feedgate_access_policy.trail import OPERATIONS, Trail
from feedgate_kit.agencies import Agency
from feedgate_kit.outbox import Outbox
from feedgate_kit.topics import GRANT_STATE


async def restore(
    connection: AsyncConnection,
    outbox: Outbox,
    agencies: Mapping[str, Agency],
    published: Mapping[str, GrantPublished],
    now_us: int,
) -> Counter[str]:
    """Stage a next version of every grant whose record in the topic is ahead; the events that came of it."""
    known = await outbox.newest_versions(connection, GRANT_STATE)
    trail = Trail(outbox)
    events: Counter[str] = Counter()
    for grant_id, ahead in published.items():
        if ahead.version <= known.get(grant_id, 0):
            continue
        grant = await grants.locked(connection, grant_id)
        if grant is not None:
            after = restored(grant, ahead, now_us)
            await _hold(connection, trail, agencies, grant, after, now_us)
            events[event_of(grant, after)] += 1
        elif (state := closed(grant_id, ahead)) is not None:
            await outbox.stage_state(
                connection, topic=GRANT_STATE, key=grant_id, version=state.version, message=state
            )
            await trail.unknown_closed(connection, state, now_us)
            events["grant.closed"] += 1
    return events


async def _hold(
    connection: AsyncConnection,
    trail: Trail,
    agencies: Mapping[str, Agency],
    before: Grant,
    after: Grant,
    now_us: int,
) -> None:
    request = await requests.find(connection, before.request_id, before.agency, agencies)
    assert request is not None  # a foreign key
    await grants.change(connection, after)
    await trail.grant(connection, after)
    await trail.grant_act(connection, event_of(before, after), after, request, OPERATIONS, now_us)
