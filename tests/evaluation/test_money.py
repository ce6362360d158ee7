"""Money: amounts that a hand computes, a curve recomputed row by row, and intervals that hold their point."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.config.settings import MoneySettings
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.money import BusinessImpact, break_even_probability, expected_profit, measure_impact

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
MONEY = MoneySettings(bootstrap_samples=200)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.29, 0.57, 1.0]))),
    min_size=1,
    max_size=40,
)
Entries = list[tuple[int, float]]


def arrays(entries: Entries) -> tuple[Labels, Probabilities]:
    return np.array([y for y, _ in entries], dtype=np.int64), np.array([p for _, p in entries], dtype=np.float64)


def decide(probabilities: Probabilities, threshold: float) -> Labels:
    return (probabilities >= threshold).astype(np.int64)


def impact(entries: Entries, money: MoneySettings = MONEY, threshold: float = 0.5, seed: int = 0) -> BusinessImpact:
    target, probabilities = arrays(entries)
    return measure_impact(target, probabilities, decide(probabilities, threshold), threshold, money, seed)


def sample(rows: int, seed: int = 0) -> tuple[Labels, Probabilities]:
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(1, 2, rows)
    return (rng.random(rows) < probabilities).astype(np.int64), probabilities


def naive(target: Labels, decisions: Labels, money: MoneySettings) -> float:
    """One subscriber after the other."""
    total = 0.0
    for label, decision in zip(target.tolist(), decisions.tolist(), strict=True):
        if decision:
            total += (money.uplift_per_month if label else -money.churn_cost) - money.contact_cost
    return total / len(target) * 1000


@pytest.mark.parametrize(
    ("uplift", "contact", "churn", "expected"),
    [
        (300, 30, 150, 180 / 450),
        (300, 30, 0, 0.1),
        (300, 0, 0, 0),
        (100, 100, 50, 1),  # the uplift is what the contact costs
        (10, 100, 50, 1),  # never pays: the quotient is beyond 1
        (0, 30, 0, 1),
        (0, 0, 0, 1),
    ],
)
def test_break_even_is_what_a_hand_computes(uplift: float, contact: float, churn: float, expected: float) -> None:
    money = MoneySettings(uplift_per_month=float(uplift), contact_cost=float(contact), churn_cost=float(churn))
    assert break_even_probability(money) == pytest.approx(expected, abs=1e-15)


def test_at_break_even_a_contact_neither_pays_nor_costs() -> None:
    target = np.array([1, 1, 0, 0, 0], dtype=np.int64)  # as many Ultra as the break-even of the defaults, 0.4
    assert break_even_probability(MoneySettings()) == pytest.approx(0.4)
    assert expected_profit(target, np.ones(5, dtype=np.int64), MoneySettings()) == pytest.approx(0, abs=1e-9)


def test_every_amount_is_what_a_hand_computes() -> None:
    # Of 4 rows, 3 are contacted at 0.5, 2 of them on Ultra: 2 * 300 - 3 * 30 - 150 = 360, for 1,000 rows 90,000.
    found = impact([(1, 0.9), (1, 0.5), (0, 0.7), (1, 0.1)]).at_threshold
    assert (found.threshold, found.contacts, found.true_positives, found.false_positives) == (0.5, 750, 500, 250)
    assert (found.gross, found.cost, found.net) == (150_000, 60_000, 90_000)


def test_the_best_threshold_is_the_highest_net_with_the_fewest_contacts() -> None:
    # Above 0.7 only the Ultra row at 0.9 is contacted; below, a Smart one is too.
    found = impact([(1, 0.9), (0, 0.7), (0, 0.2)])
    assert found.best.threshold == 0.9
    assert found.best.contacts == pytest.approx(1000 / 3)
    assert found.best.net == pytest.approx(270_000 / 3)
    assert found.best in found.curve
    # Where every contact costs, nobody is contacted.
    worst = impact([(0, 0.9), (0, 0.2)])
    assert (worst.best.threshold, worst.best.net) == (1, 0)
    # Where nothing is worth anything, all thresholds are alike.
    free = MoneySettings(uplift_per_month=0.0, contact_cost=0.0, churn_cost=0.0, bootstrap_samples=100)
    assert impact([(1, 0.9), (0, 0.2)], free).best.threshold == 1


def test_the_report_says_what_it_assumes() -> None:
    money = MoneySettings(currency="EUR", uplift_per_month=12.5, bootstrap_samples=100)
    found = impact([(1, 0.9), (0, 0.2)], money)
    assert (found.currency, found.break_even) == ("EUR", 1)  # 180 / 162.5
    assert MoneySettings.model_validate(found.assumptions) == money


@PROPERTY
@given(ENTRIES, st.sampled_from([0.0, 0.29, 0.5, 0.57, 1.0]))
def test_the_curve_is_what_row_by_row_gives(entries: Entries, threshold: float) -> None:
    target, probabilities = arrays(entries)
    found = impact(entries, threshold=threshold)
    assert [row.threshold for row in found.curve] == [i / 100 for i in range(101)]
    for row in found.curve:
        decisions = decide(probabilities, row.threshold)
        assert row.net == pytest.approx(naive(target, decisions, MONEY), abs=1e-6)
        assert row.contacts == pytest.approx(decisions.mean() * 1000)
        assert row.true_positives + row.false_positives == pytest.approx(row.contacts)
        assert row.gross - row.cost == pytest.approx(row.net, abs=1e-6)
        assert row.net_low <= row.net_high
    assert found.best.net == max(row.net for row in found.curve)
    assert found.at_threshold.net == pytest.approx(naive(target, decide(probabilities, threshold), MONEY), abs=1e-6)
    assert BusinessImpact.model_validate_json(found.model_dump_json()) == found


@PROPERTY
@given(ENTRIES, st.integers(0, 2**32 - 1))
def test_expected_profit_is_what_row_by_row_gives(entries: Entries, seed: int) -> None:
    target, _ = arrays(entries)
    decisions = np.random.default_rng(seed).integers(0, 2, len(target))
    assert expected_profit(target, decisions, MONEY) == pytest.approx(naive(target, decisions, MONEY), abs=1e-6)


def test_the_decisions_need_not_come_from_one_threshold() -> None:
    target, probabilities = arrays([(1, 0.1), (0, 0.9)])
    found = measure_impact(target, probabilities, np.array([1, 0]), 0.5, MONEY, seed=0)
    assert found.at_threshold.net == expected_profit(target, np.array([1, 0]), MONEY) == 135_000
    assert found.curve[50].net == -90_000


def test_intervals_hold_their_point_and_are_as_wide_as_the_normal_approximation() -> None:
    target, probabilities = sample(650)
    money = MoneySettings(bootstrap_samples=4000)
    decisions = decide(probabilities, 0.4)
    found = measure_impact(target, probabilities, decisions, 0.4, money, seed=1)
    value = np.where(target == 1, money.uplift_per_month, -money.churn_cost) - money.contact_cost
    for row, contacted in ((found.at_threshold, decisions), (found.curve[25], decide(probabilities, 0.25))):
        error = float(np.std(value * contacted)) / math.sqrt(650) * 1000
        assert row.net_low < row.net < row.net_high
        assert row.net_high - row.net_low == pytest.approx(2 * 1.96 * error, rel=0.07)
    assert (found.curve[40].net_low, found.curve[40].net_high) == pytest.approx(
        (found.at_threshold.net_low, found.at_threshold.net_high), rel=0.05
    )


def test_a_higher_confidence_is_a_wider_interval() -> None:
    entries = list(zip(*(column.tolist() for column in sample(300)), strict=True))
    narrow, wide = (impact(entries, MoneySettings(confidence=c)).at_threshold for c in (0.5, 0.99))
    assert wide.net_low < narrow.net_low < narrow.net_high < wide.net_high


def test_the_order_of_the_rows_changes_nothing() -> None:
    target, probabilities = sample(400)
    order = np.random.default_rng(1).permutation(400)
    decisions = decide(probabilities, 0.5)
    one = measure_impact(target, probabilities, decisions, 0.5, MONEY, seed=3)
    assert measure_impact(target[order], probabilities[order], decisions[order], 0.5, MONEY, seed=3) == one
    other = measure_impact(target, probabilities, decisions, 0.5, MONEY, seed=4)
    assert (other.at_threshold.net, other.best.threshold) == (one.at_threshold.net, one.best.threshold)
    assert other.at_threshold.net_low != one.at_threshold.net_low
