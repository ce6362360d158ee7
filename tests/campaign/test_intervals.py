"""Intervals of differences: those of the papers and of SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_ind

from plan_recommender.campaign.intervals import Difference, mean_difference, rate_difference, wilson


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)
def test_the_interval_of_two_rates_is_the_published_one(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = rate_difference(first, second, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    turned = rate_difference(second, first, 0.95)
    assert turned == pytest.approx((-found.difference, -found.high, -found.low))


@pytest.mark.parametrize(("events", "of"), [(0, 20), (1, 20), (20, 20), (61, 1000), (1, 1)])
def test_the_interval_of_a_rate_is_scipys(events: int, of: int) -> None:
    expected = binomtest(events, of).proportion_ci(0.95, "wilson")
    assert wilson(events, of, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 40), (400, 50)])
def test_the_interval_of_two_means_is_scipys(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    first, second = rng.gamma(2, 300, n), rng.gamma(2, 200, m)
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = mean_difference(first, second, 0.95)
    assert found == pytest.approx((first.mean() - second.mean(), expected.low, expected.high))


def test_equal_values_leave_no_doubt() -> None:
    assert mean_difference(np.full(3, 550.0), np.full(9, 500.0), 0.95) == (50, 50, 50)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-2, -1, "lower"), (1, 2, "higher"), (-1, 1, "cannot tell"), (-1, 0, "cannot tell"), (0, 1, "cannot tell")],
)
def test_the_verdict_is_what_the_interval_says(low: float, high: float, verdict: str) -> None:
    assert Difference((low + high) / 2, low, high).verdict == verdict
