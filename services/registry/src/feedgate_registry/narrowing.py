"""Is this change of an authorisation a narrowing? Only that may be done to one that was given."""

from feedgate_registry.authorisation import Scope
from feedgate_registry.schedule import common_hours, covers


def widened_fields(before: Scope, after: Scope) -> list[str]:
    """Names of the fields in which `after` allows anything that `before` did not; empty for a narrowing."""
    held = {
        "agencies": set(after.agencies) <= set(before.agencies),
        "purposes": set(after.purposes) <= set(before.purposes),
        "renditions": set(after.renditions) <= set(before.renditions),
        "schedule": covers(before.schedule, after.schedule),
        "expires_at": after.expires_at_us <= before.expires_at_us,
    }
    return [name for name, is_held in held.items() if not is_held]


def common_scope(one: Scope, other: Scope) -> Scope | None:
    """What both allow; None if that is nothing."""
    schedule = common_hours(one.schedule, other.schedule)
    common = Scope(
        agencies=tuple(sorted(set(one.agencies) & set(other.agencies))),
        purposes=tuple(sorted(set(one.purposes) & set(other.purposes))),
        renditions=tuple(sorted(set(one.renditions) & set(other.renditions))),
        schedule=schedule,
        expires_at_us=min(one.expires_at_us, other.expires_at_us),
    )
    is_open = schedule is None or bool(schedule.windows)
    return common if is_open and common.agencies and common.purposes and common.renditions else None
