"""p-values and distances: against SciPy, closed forms and simulation; corrections for many tests by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import anderson_ksamp, chi2, chi2_contingency

from plan_recommender.drift.design_effect import of_dependence, of_quantity
from plan_recommender.drift.significance import (
    compare_dependence,
    compare_quantity,
    compare_shares,
    holm,
    weighted_chi_square_tail,
)
from plan_recommender.monitoring.distance import dependence_statistic, harmonic_size

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)


@pytest.mark.parametrize("degrees", [6, 8, 13])
@pytest.mark.parametrize("value", [0.5, 5.0, 20.0, 40.0])
def test_a_sum_of_equal_weights_is_a_chi_square(degrees: int, value: float) -> None:
    assert weighted_chi_square_tail(3 * value, np.full(degrees, 3.0)) == pytest.approx(
        chi2.sf(value, degrees), abs=1e-11
    )


def test_a_sum_of_other_weights_is_what_simulation_finds() -> None:
    weights = 1 / (np.arange(1, 14) * np.arange(2, 15))  # those of Anderson and Darling's statistic
    drawn = np.random.default_rng(0).standard_normal((400_000, 13)) ** 2 @ weights
    for value in (0.5, 1.5, 2.5, 4.0):
        share = float((drawn > value).mean())
        error = (share * (1 - share) / len(drawn)) ** 0.5
        assert weighted_chi_square_tail(value, weights) == pytest.approx(share, abs=4 * error)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0], [1.0, 0.3, 0.1]])
def test_few_weights_have_a_probability_that_falls(weights: list[float]) -> None:
    found = [weighted_chi_square_tail(value, np.array(weights)) for value in (0.0, 0.1, 1.0, 10.0)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.05 or not any(weights)


def test_the_statistic_of_a_fine_histogram_is_that_of_anderson_and_darling() -> None:
    rng = np.random.default_rng(3)
    before, now = rng.normal(0, 1, 800), rng.normal(0.15, 1, 600)
    edges = np.sort(np.concatenate([before, now]))
    counts = [np.histogram(values, [-np.inf, *edges[:-1] + 1e-12, np.inf])[0].astype(float) for values in (before, now)]
    found = compare_quantity(*counts)
    # SciPy standardises the statistic: A = (A2 - 1) / sigma, and sigma comes to 0.7605 for two large samples.
    standardised = anderson_ksamp([before, now], variant="continuous").statistic
    statistic = found.distance**2 * float(harmonic_size(800, 600))
    assert (statistic - 1) / 0.7605 == pytest.approx(standardised, rel=0.01)


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=2, max_size=14))
def test_the_test_of_shares_is_scipys(pairs: list[tuple[int, int]]) -> None:
    before, now = (np.array([pair[i] for pair in pairs], dtype=float) for i in (0, 1))
    if not before.sum() or not now.sum():
        return
    table = np.stack([before, now])[:, before + now > 0]
    found = compare_shares(before, now)
    if table.shape[1] < 2:
        assert found.p_value == 1
        return
    expected = chi2_contingency(table, correction=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    assert found.distance == pytest.approx((expected.statistic / harmonic_size(before.sum(), now.sum())) ** 0.5)


def test_the_dependence_of_two_by_two_tables_is_the_difference_of_their_odds_ratios() -> None:
    alike = np.array([[40.0, 10.0], [20.0, 30.0]])
    other_margins = alike * [[3.0], [1.0]] * [[1.0, 5.0]]  # the odds ratio stays 6
    assert dependence_statistic(alike, other_margins) == pytest.approx(0, abs=1e-6)
    loose = np.array([[25.0, 25.0], [25.0, 25.0]])
    found = compare_dependence(alike, loose)
    # The fit has the margins of both tables and one odds ratio r, which makes all expected counts; found by bisection.
    low, high = 1.0, 6.0
    for _ in range(100):
        middle = (low + high) / 2
        a = [_first_cell(table, middle) for table in (alike, loose)]
        low, high = (middle, high) if sum(a) < 65 else (low, middle)
    fitted = np.stack([_table(table, _first_cell(table, low)) for table in (alike, loose)])
    tables = np.stack([alike, loose])
    assert found.p_value == pytest.approx(chi2.sf(2 * np.sum(tables * np.log(tables / fitted)), 1), rel=1e-5)


def test_more_variable_design_effects_make_a_test_more_careful() -> None:
    one, other = np.array([[40.0, 10.0], [20.0, 30.0]]), np.array([[25.0, 25.0], [25.0, 25.0]])
    p_values = [compare_dependence(one, other, variation).p_value for variation in (0.0, 0.5, 2.0)]
    assert p_values == sorted(p_values)
    assert p_values[0] < p_values[-1]


def test_holms_correction_is_what_a_hand_computes() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_design_effects_of_repeated_rows_are_the_number_of_repetitions() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 300), rng.integers(0, 4, 300)
    whose = np.arange(300)
    for times in (1, 3):
        repeated = [np.repeat(codes, times) for codes in (first, second, whose)]
        assert of_quantity(repeated[0], 5, repeated[2]).mean == pytest.approx(times)
        found = of_dependence(repeated[0], repeated[1], (5, 4), repeated[2])
        assert found.mean == pytest.approx(times)
        assert found.variation == pytest.approx(of_dependence(first, second, (5, 4), whose).variation)
    assert of_quantity(first, 5, None) == (1.0, 0.0)
    assert of_quantity(np.zeros(10, dtype=np.intp), 1, np.arange(10)) == (1.0, 0.0)


def _first_cell(table: np.ndarray, odds_ratio: float) -> float:
    """The first count of a table with these margins and this odds ratio."""
    row, column, total = table[0].sum(), table[:, 0].sum(), table.sum()
    low, high = max(0.0, row + column - total), min(row, column)
    for _ in range(200):
        a = (low + high) / 2
        b, c = row - a, column - a
        low, high = (a, high) if a * (total - row - column + a) < odds_ratio * b * c else (low, a)
    return float(low)


def _table(table: np.ndarray, a: float) -> np.ndarray:
    row, column, total = table[0].sum(), table[:, 0].sum(), table.sum()
    return np.array([[a, row - a], [column - a, total - row - column + a]])
