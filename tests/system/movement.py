"""A panel's answer moves: what an action does to one series of one query."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.servers.prometheus import Series

Seen = tuple[float | None, list[float | None]]
Judge = Callable[[float | None, list[float | None]], bool]
"""The value before (None: there was none) and those since; does it move as expected?"""


@dataclass(frozen=True, slots=True)
class Movement:
    """Of the series with these labels, in the query at this place of the panel."""

    panel: str
    says: str
    judge: Judge = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    place: int = 0

    def at(self, place: int) -> "Movement":
        """The same of another query of the panel."""
        return Movement(self.panel, self.says, self.judge, self.labels, place)

    def seen(self, series: list[Series], began_s: float, until_s: float) -> bool:
        """Whether a series moves so, by its points from before the action until now."""
        return any(self.judge(*each) for each in self.seen_of(series, began_s, until_s))

    def seen_of(self, series: list[Series], began_s: float, until_s: float) -> list[Seen]:
        """Of each series with these labels, the value before and those since."""
        ours = [each for each in series if self.labels.items() <= each.labels.items()]
        return [values(each, began_s, until_s) for each in ours]


def values(series: Series, began_s: float, until_s: float) -> Seen:
    """The last value before `began_s`, and one for each quarter of a second since, None where there is none."""
    before = [value for at_s, value in series.points if at_s <= began_s and not math.isnan(value)]
    after = {round(at_s * 4): value for at_s, value in series.points if at_s > began_s}
    since = [after.get(look) for look in range(math.ceil(began_s * 4), math.floor(until_s * 4))]
    return (before[-1] if before else None), [
        None if value is None or math.isnan(value) else value for value in since
    ]


def numbers(since: list[float | None]) -> list[float]:
    return [value for value in since if value is not None]


def adds(panel: str, count: int, **labels: str) -> Movement:
    """It ends exactly so much higher; a series that did not exist counts as 0."""

    def judge(before: float | None, since: list[float | None]) -> bool:
        found = numbers(since)
        return bool(found) and found[-1] == (before or 0.0) + count

    return Movement(panel, f"adds {count}", judge, labels)


def rises(panel: str, by: float, **labels: str) -> Movement:
    """It is at least so much higher at some moment."""
    return Movement(
        panel,
        f"rises by {by:g}",
        lambda before, since: max(numbers(since), default=0.0) >= (before or 0.0) + by,
        labels,
    )


def falls(panel: str, by: float, **labels: str) -> Movement:
    """It is at least so much lower at some moment."""
    return Movement(
        panel,
        f"falls by {by:g}",
        lambda before, since: before is not None and min(numbers(since), default=before) <= before - by,
        labels,
    )


def sinks_below(panel: str, level: float, **labels: str) -> Movement:
    """It was not below that level, and is at some moment."""
    return Movement(
        panel,
        f"sinks below {level:g}",
        lambda before, since: (before or 0.0) >= level > min(numbers(since), default=level),
        labels,
    )


def changes(panel: str, **labels: str) -> Movement:
    """It is another number, or a number where there was none."""
    return Movement(
        panel, "changes", lambda before, since: any(value != before for value in numbers(since)), labels
    )


def vanishes(panel: str, **labels: str) -> Movement:
    """There was a number, and there is none now."""
    return Movement(
        panel,
        "vanishes",
        lambda before, since: before is not None and bool(since) and since[-1] is None,
        labels,
    )
