"""Places: how far apart, how finely told, and which lie near."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius (IUGG). On a sphere distances are off by at most 0.6 %: enough to find cameras."""

PUBLIC_DECIMALS = 3
"""Of a camera's coordinates before a grant: about 100 m (legal.md 5.5)."""

PUBLIC_ERROR_M = 100.0
"""More than rounding to `PUBLIC_DECIMALS` moves a place: half a thousandth of a degree each way."""

CELL_DEGREES = 0.01
_CELLS_AROUND = round(360 / CELL_DEGREES)

Point = tuple[float, float]
"""Longitude and latitude in degrees, WGS 84, in GeoJSON's order (RFC 7946 3.1.1)."""


def distance_m(one: Point, other: Point) -> float:
    """Great-circle distance (haversine)."""
    (longitude_1, latitude_1), (longitude_2, latitude_2) = (
        (math.radians(longitude), math.radians(latitude)) for longitude, latitude in (one, other)
    )
    across = (
        math.sin((latitude_2 - latitude_1) / 2) ** 2
        + math.cos(latitude_1) * math.cos(latitude_2) * math.sin((longitude_2 - longitude_1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, across)))


def public_place(place: Point) -> Point:
    """The place as it may be told before a grant.

    Distances told before a grant are of this place too: three exact distances
    would tell the rest.
    """
    longitude, latitude = place
    return round(longitude, PUBLIC_DECIMALS), round(latitude, PUBLIC_DECIMALS)


class Neighbourhood:
    """Keys by place, in cells of a hundredth of a degree.

    In memory beside the state copy: a search looks at the few cells that its
    circle touches, so it costs what lies near and not what is registered.
    """

    def __init__(self) -> None:
        self._cells: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        self._cell_of: dict[str, tuple[int, int]] = {}

    def put(self, key: str, place: Point) -> None:
        """Place or move a key."""
        self.remove(key)
        cell = _column(place[0]), _row(place[1])
        self._cell_of[key] = cell
        self._cells[cell].add(key)

    def remove(self, key: str) -> None:
        """Forget a key, if it is known."""
        cell = self._cell_of.pop(key, None)
        if cell is not None:
            self._cells[cell].discard(key)
            if not self._cells[cell]:
                del self._cells[cell]

    def around(self, place: Point, radius_m: float) -> Iterator[str]:
        """Every key within the radius, and some outside of it."""
        degrees = math.degrees(radius_m / EARTH_RADIUS_M)
        rows = range(_row(place[1] - degrees), _row(place[1] + degrees) + 1)
        farthest = min(90.0, max(abs(place[1] - degrees), abs(place[1] + degrees)))
        columns = _columns(place[0], degrees, math.cos(math.radians(farthest)))
        for column in columns:
            for row in rows:
                yield from self._cells.get((column, row), ())


def _columns(longitude: float, degrees: float, narrowing: float) -> Iterable[int]:
    """The columns of a circle; meridians draw together towards the poles, and the world is round."""
    if narrowing <= 0 or degrees / narrowing >= 180:
        return range(_CELLS_AROUND)
    first = math.floor((longitude - degrees / narrowing) / CELL_DEGREES)
    last = math.floor((longitude + degrees / narrowing) / CELL_DEGREES)
    return {column % _CELLS_AROUND for column in range(first, last + 1)}


def _column(longitude: float) -> int:
    return math.floor(longitude / CELL_DEGREES) % _CELLS_AROUND


def _row(latitude: float) -> int:
    return math.floor(latitude / CELL_DEGREES)
