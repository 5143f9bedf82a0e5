"""Is this change of an authorisation a narrowing? Only that may be done to one that was given."""

from feedgate_registry.authorisation import Scope
from feedgate_registry.schedule import covers


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
