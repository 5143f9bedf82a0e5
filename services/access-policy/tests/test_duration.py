import pytest

from feedgate_access_policy.duration import DAY_US, duration_us


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0),
        ("PT30M", 1_800),
        ("PT1H", 3_600),
        ("PT72H", 259_200),
        ("P1D", 86_400),
        ("P1DT1H30M", 91_800),
    ],
)
def test_a_duration_is_its_seconds(text: str, seconds: int) -> None:
    assert duration_us(text) == seconds * 1_000_000


@pytest.mark.parametrize(("text", "days"), [("P1W", 7), ("P1M", 28), ("P3M", 84), ("P1Y", 365)])
def test_a_calendar_duration_is_its_shortest_reading(text: str, days: int) -> None:
    assert duration_us(text) == days * DAY_US


@pytest.mark.parametrize("text", ["", "P", "PT", "1H", "PT1.5H", "P-1D", "law:none", "PT1H "])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        duration_us(text)
