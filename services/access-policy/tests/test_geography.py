import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedgate_access_policy.geography import PUBLIC_ERROR_M, Neighbourhood, distance_m, public_place

POINTS = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


def test_distances_are_those_of_the_map() -> None:
    obelisk, congress = (-58.38157, -34.60373), (-58.39276, -34.60951)
    assert distance_m(obelisk, congress) == pytest.approx(1_209, rel=0.01)


def test_a_place_is_told_to_three_decimals() -> None:
    assert public_place((-58.38157, -34.60373)) == (-58.382, -34.604)


@settings(deadline=None, derandomize=True)
@given(POINTS)
def test_telling_a_place_moves_it_by_less_than_its_error(place: tuple[float, float]) -> None:
    assert distance_m(place, public_place(place)) < PUBLIC_ERROR_M


@settings(deadline=None, derandomize=True)
@given(place=POINTS, radius_m=st.floats(1, 2_100), bearing=st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_every_place_within_the_radius_is_found(
    place: tuple[float, float], radius_m: float, bearing: tuple[float, float]
) -> None:
    # Some 2 km each way, also across the date line and at the poles.
    longitude = (place[0] + bearing[0] * 0.02 + 180) % 360 - 180
    other = (longitude, max(-90.0, min(90.0, place[1] + bearing[1] * 0.02)))
    neighbourhood = Neighbourhood()
    neighbourhood.put("other", other)
    if distance_m(place, other) <= radius_m:
        assert "other" in list(neighbourhood.around(place, radius_m))


def test_places_far_away_are_not_looked_at() -> None:
    neighbourhood = Neighbourhood()
    for number in range(1_000):
        neighbourhood.put(f"far-{number}", (number / 10, 10.0))
    assert list(neighbourhood.around((-58.0, -34.0), 2_000)) == []


def test_a_place_across_the_date_line_is_near() -> None:
    neighbourhood = Neighbourhood()
    neighbourhood.put("east", (179.999, -17.0))
    assert list(neighbourhood.around((-179.999, -17.0), 500)) == ["east"]


def test_what_moved_or_went_is_no_longer_where_it_was() -> None:
    neighbourhood = Neighbourhood()
    neighbourhood.put("camera", (10.0, 50.0))
    neighbourhood.put("camera", (11.0, 50.0))
    assert list(neighbourhood.around((10.0, 50.0), 500)) == []
    assert list(neighbourhood.around((11.0, 50.0), 500)) == ["camera"]
    neighbourhood.remove("camera")
    assert list(neighbourhood.around((11.0, 50.0), 500)) == []
