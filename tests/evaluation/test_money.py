"""Money: whom it is worth to contact, amounts that a hand computes, and intervals by subscriber."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan_recommender.config.settings import MoneySettings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.money import BusinessImpact, break_even_probability, measure_impact, plans_held

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
MONEY = MoneySettings(bootstrap_samples=200)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.29, 0.57, 1.0]))),
    min_size=1,
    max_size=40,
)
Entries = list[tuple[int, float]]
"""The plan held, and the probability of Ultra."""


def arrays(entries: Entries) -> tuple[Labels, Probabilities]:
    return np.array([y for y, _ in entries], dtype=np.int64), np.array([p for _, p in entries], dtype=np.float64)


def decide(probabilities: Probabilities, threshold: float) -> Labels:
    return (probabilities >= threshold).astype(np.int64)


def impact(entries: Entries, money: MoneySettings = MONEY, threshold: float = 0.5, seed: int = 0) -> BusinessImpact:
    held, probabilities = arrays(entries)
    return measure_impact(probabilities, decide(probabilities, threshold), held, threshold, money, seed)


def naive(entries: Entries, threshold: float, money: MoneySettings) -> float:
    """One subscriber after the other."""
    total = 0.0
    for held, p in entries:
        if p >= threshold and not held:
            total += p * money.uplift_per_month - (1 - p) * money.churn_cost - money.contact_cost
        elif p < threshold and held:
            total -= (1 - p) * money.uplift_per_month + money.contact_cost
    return total / len(entries) * 1000


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
    assert impact([(0, 0.4)], threshold=0.4).at_threshold.net == pytest.approx(0, abs=1e-9)


def test_who_is_on_ultra_already_is_no_contact_and_no_gain() -> None:
    found = impact([(1, 0.9), (1, 0.5), (1, 0.7)]).at_threshold
    assert (found.to_ultra, found.to_smart, found.gross, found.cost, found.net) == (0, 0, 0, 0, 0)


def test_every_amount_is_what_a_hand_computes() -> None:
    # Of 4 rows at 0.5: one on Smart is moved up: 0.75 * 300 = 225, cost 30 + 0.25 * 150 = 67.5; one on Ultra is moved
    # down: cost 30 + 0.75 * 300 = 255; two hold what is recommended. For 1,000 rows 250 times that.
    found = impact([(0, 0.75), (1, 0.25), (1, 0.9), (0, 0.1)]).at_threshold
    assert (found.threshold, found.to_ultra, found.to_smart) == (0.5, 250, 250)
    assert (found.gross, found.cost, found.net) == (56_250, 80_625, -24_375)


def test_the_report_says_what_it_assumes() -> None:
    money = MoneySettings(currency="EUR", uplift_per_month=12.5, bootstrap_samples=100)
    found = impact([(1, 0.9), (0, 0.2)], money)
    assert (found.currency, found.plan_held, found.break_even) == ("EUR", "plan", 1)  # 180 / 162.5
    assert MoneySettings.model_validate(found.assumptions) == money


@PROPERTY
@given(ENTRIES, st.sampled_from([0.0, 0.29, 0.5, 0.57, 1.0]))
def test_the_curve_is_what_row_by_row_gives(entries: Entries, threshold: float) -> None:
    found = impact(entries, threshold=threshold)
    assert [row.threshold for row in found.curve] == [i / 100 for i in range(101)]
    for row in [*found.curve, found.at_threshold]:
        assert row.net == pytest.approx(naive(entries, row.threshold, MONEY), abs=1e-6)
        assert row.gross - row.cost == pytest.approx(row.net, abs=1e-6)
    assert BusinessImpact.model_validate_json(found.model_dump_json()) == found


def test_the_interval_holds_its_point_and_is_as_wide_as_the_normal_approximation_by_subscriber() -> None:
    rng = np.random.default_rng(0)
    probabilities, money = rng.beta(1, 2, 650), MoneySettings(bootstrap_samples=4000)
    held = (rng.random(650) < probabilities).astype(np.int64)
    decisions = decide(probabilities, 0.4)
    found = measure_impact(probabilities, decisions, held, 0.4, money, seed=1)
    net = np.array([naive([(h, p)], 0.4, money) for h, p in zip(held.tolist(), probabilities.tolist(), strict=True)])
    error = float(np.std(net)) / math.sqrt(650)
    assert found.net_low < found.at_threshold.net < found.net_high
    assert found.net_high - found.net_low == pytest.approx(2 * 1.96 * error, rel=0.07)
    # Four times every row, as rows of one subscriber: no more is known than before. The control: as rows of four.
    four = (np.tile(probabilities, 4), np.tile(decisions, 4), np.tile(held, 4))
    owners = np.tile(np.arange(650), 4)
    same = measure_impact(*four, 0.4, money, seed=1, subscribers=owners)
    assert same.net_high - same.net_low == pytest.approx(2 * 1.96 * error, rel=0.07)
    narrow = measure_impact(*four, 0.4, money, seed=1)
    assert narrow.net_high - narrow.net_low == pytest.approx(1.96 * error, rel=0.07)


def test_a_higher_confidence_is_a_wider_interval() -> None:
    entries = [(i % 2, i / 300) for i in range(300)]
    narrow, wide = (impact(entries, MoneySettings(confidence=c)) for c in (0.5, 0.99))
    assert wide.net_low < narrow.net_low < narrow.net_high < wide.net_high


@pytest.mark.parametrize(
    ("header", "plans", "held"),
    [
        ("plan", ["Smart", " ULTRA ", "ultra"], [0, 1, 1]),
        ("plan", ["Smart", "Ultra", ""], None),
        ("plan", ["surf", "ultimate", "surf"], None),
        ("tariff", ["Smart", "Ultra", "Ultra"], None),
    ],
)
def test_the_plan_held_is_what_its_column_says_or_unknown(
    tmp_path: Path, header: str, plans: list[str], held: list[int] | None
) -> None:
    path = tmp_path / "table.csv"
    lines = [f"1,2,3,4,{i % 2},{plan}" for i, plan in enumerate(plans)]
    path.write_text("\n".join([f"calls,minutes,messages,mb_used,is_ultra,{header}", *lines]) + "\n")
    found = plans_held(read_labelled(path), MONEY)
    assert (None if found is None else found.tolist()) == held
