"""How often groups are called unlike that are alike, or that differ; and what a subscriber's rows tell."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from plan_recommender.evaluation.group_rates import GroupedRates, measure_rates
from tools.parity import SCENARIOS, Dealt, false_alarms, rows_to_tell


def test_the_correlation_of_a_subscribers_rows_is_what_a_hand_computes() -> None:
    # Shares of 1, 0 and 1/2 about 1/2: 1/2 between, 1/6 within, pairs: (1/2 - 1/6) / (1/2 + 1/6).
    decisions, smart = np.array([1, 1, 0, 0, 1, 0]), np.zeros(6, dtype=np.int64)
    found = measure_rates(smart, np.array([7, 7, 3, 3, 5, 5]), smart, decisions)
    assert found.correlations[0] == pytest.approx(0.5)
    assert found.effective[0] == pytest.approx(6 / 1.5)
    # Rows that are more different than chance tell no more than rows of different subscribers.
    assert measure_rates(smart, np.array([1, 2, 1, 2, 3, 3]), smart, decisions).effective[0] == pytest.approx(6)
    # Nothing tells the correlation where all decisions are alike, or each group is one subscriber.
    assert measure_rates(smart, np.array([7, 7, 3, 3, 5, 5]), smart, smart).effective[0] == pytest.approx(3)
    assert measure_rates(smart, smart, smart, decisions).effective[0] == pytest.approx(1)


def test_a_small_group_with_a_rare_decision_is_called_unlike_no_more_often_than_allowed() -> None:
    """Exact: the chance, over all counts of 20 and of 600 rows at the same rate, of an interval without 0."""
    alpha, small, large = 0.05 / 84, np.arange(21), np.arange(601)
    counted = np.concatenate([small, large])
    n = np.repeat([20, 600], [21, 601])
    pairs = np.stack(np.meshgrid(small, 21 + large, indexing="ij"), axis=-1).reshape(-1, 2)
    degrees = np.full((1, 2), 10**6)
    found = GroupedRates(
        (counted / n)[np.newaxis], n[np.newaxis], n[np.newaxis].astype(float), degrees, np.zeros(1)
    ).differences(pairs, alpha)
    low, high = np.array(
        [binomtest(k, of).proportion_ci(1 - alpha, "wilson") for k, of in zip(counted, n, strict=True)]
    ).T
    one, other = pairs.T
    difference = counted[one] / 20 - counted[other] / 600
    lowest = difference - np.hypot((counted / n - low)[one], (high - counted / n)[other])  # Newcombe's own interval
    for rate in (0.002, 0.01, 0.05, 0.3):
        chance = np.outer(binom.pmf(small, 20, rate), binom.pmf(large, 600, rate)).ravel()
        assert chance[found.nearest[0] > 0].sum() <= alpha
    chance = np.outer(binom.pmf(small, 20, 0.01), binom.pmf(large, 600, 0.01)).ravel()
    assert chance[lowest > 0].sum() > 5 * alpha  # the control


@pytest.mark.parametrize("dealt", ["rows", "subscribers", "rows of subscribers"])
def test_groups_at_random_are_seldom_called_unlike(dealt: Dealt) -> None:
    """The share is at most 5%, and that of 40 trials at most 10%; docs/parity.md has that of a thousand."""
    for groups, rows_of_group in ((2, 30), (8, 100)):
        before, one_by_one, at_0, at_tolerance = false_alarms(groups, rows_of_group, dealt, trials=40, seed=3)
        assert at_tolerance <= at_0 <= 0.1
    assert one_by_one >= 0.2  # the controls
    assert before >= 0.5


def test_a_difference_of_a_fifth_is_found() -> None:
    higher = SCENARIOS[0]
    for groups in (2, 8):
        assert higher.found(groups, rows=600, trials=30, seed=3) >= 0.8


def test_the_rows_that_would_tell_do_tell_groups_that_are_alike() -> None:
    no_difference = SCENARIOS[-1]
    enough = rows_to_tell(groups=2, rows=100, trials=20, seed=1)
    assert 1500 < enough < 3500
    assert no_difference.found(groups=2, rows=enough, trials=60, seed=1) >= 0.7
    assert no_difference.found(groups=2, rows=enough // 3, trials=60, seed=1) <= 0.3  # the control
