"""Many samples as a few numbers."""

import math
from collections.abc import Collection, Sequence


def percentile(samples: Collection[float], percent: float) -> float:
    """The nearest-rank percentile: the least sample that at least `percent` of all do not exceed.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("a percentile of no samples")
    ordered = sorted(samples)
    rank = max(1, math.ceil(percent / 100 * len(ordered)))
    return ordered[rank - 1]


def median(samples: Sequence[float]) -> float:
    return percentile(samples, 50)


def span(samples: Sequence[float]) -> str:
    """The lowest and the highest, as `1.2 … 3.4`; the one number where they print alike."""
    low, high = f"{min(samples):.4g}", f"{max(samples):.4g}"
    return low if low == high else f"{low} … {high}"
