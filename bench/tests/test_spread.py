import pytest

from bench.spread import median, percentile, span


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (50, 50), (99, 99), (99.1, 100), (100, 100), (0, 1)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_few_samples_is_one_of_them() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0
    assert median([4.0, 1.0]) == 1.0


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_span_says_lowest_and_highest() -> None:
    assert span([3.14159, 1.0]) == "1 … 3.142"
    assert span([2.0, 2.0]) == "2"
