"""How many pictures a camera really sends, and how far its keyframes lie apart."""

from dataclasses import dataclass

from feedgate_ingest.access_unit import TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Quality:
    """Of the last whole group of pictures."""

    pictures_per_second: float
    keyframe_interval_s: float

    def differs_from(self, other: "Quality | None") -> bool:
        """By so much that an owner would want to know: a tenth."""
        if other is None:
            return True
        return _far(self.pictures_per_second, other.pictures_per_second) or _far(
            self.keyframe_interval_s, other.keyframe_interval_s
        )


class QualityMeter:
    """Counts from keyframe to keyframe, in the camera's own time."""

    def __init__(self) -> None:
        self._began: int | None = None
        self._pictures = 0

    def count(self, dts: int, *, is_random_access_point: bool) -> Quality | None:
        """The quality of the group that this picture ends, if it begins another."""
        measured = None
        if is_random_access_point:
            if self._began is not None:
                interval_s = (dts - self._began) / TICKS_PER_SECOND
                measured = Quality(self._pictures / interval_s, interval_s)
            self._began = dts
            self._pictures = 0
        self._pictures += 1
        return measured


def _far(value: float, other: float) -> bool:
    return abs(value - other) > 0.1 * max(value, other)
