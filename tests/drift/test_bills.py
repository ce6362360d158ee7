"""What a month costs before and now: exact to the last unit, and between two bounds where no rows are known."""

import math

import numpy as np
import pytest

from plan_recommender.billing.bill import Biller
from plan_recommender.billing.tariffs import MAX_USAGE, load_tariffs
from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.bills import Months, compare_bills
from plan_recommender.drift.reference import profile
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values
from tools.server import ROOT

TARIFFS = load_tariffs(ROOT / "tariffs.yaml")
DOLLARS = load_tariffs(ROOT / "examples" / "tariffs_usd.yaml")
NAN = math.nan

BEFORE = np.array(
    [
        [10, 500, 50, 15_360],  # 2 minutes beyond on Smart, because 10 calls add as many: 556 and 1,950
        [0, 0, 52, 15_361],  # 2 messages and a gigabyte beyond on Smart: 756 and 1,950
    ]
)
NOW = np.array(
    [
        [0, 600.5, 0, 0],  # 101 minutes beyond on Smart: 853 and 1,950
        [0, 0, 0, 0],  # the fees: 550 and 1,950
        [NAN, 0, 0, 1e6],  # left out
        [0, 0, 0, 31_745],  # 17 and 2 gigabytes beyond: 3,950 and 2,250
    ]
)


def stored(features: Values) -> ReferenceProfile:
    return profile(features, list(FEATURE_NAMES), DriftSettings())


def test_means_and_changes_are_what_a_hand_computes() -> None:
    found = compare_bills(TARIFFS, Months(BEFORE), Months(NOW))
    assert found is not None
    assert (found.currency, found.decimals, found.valid_from, found.digest) == ("RUB", 2, "2018-01-01", TARIFFS.digest)
    assert (found.rows_known, found.reference_months, found.current_months) == (True, 2, 3)
    smart, ultra = found.plans
    assert (smart.plan, smart.reference_mean, smart.current_mean) == ("Smart", (656, 656), 1784.33)  # 5,353 / 3
    assert smart.change == (1128.33, 1128.33)
    assert (ultra.plan, ultra.reference_mean, ultra.current_mean) == ("Ultra", (1950, 1950), 2050)
    assert ultra.change == (100, 100)


def test_the_interval_of_a_change_counts_the_rows_of_one_subscriber_as_one() -> None:
    # On Ultra all bills were 1,950 before, and now differ from their mean by -100, -100 and 200.
    strangers = compare_bills(TARIFFS, Months(BEFORE), Months(NOW))
    assert strangers is not None
    half = 2.5758293 * math.sqrt(60_000 / 9)
    assert strangers.plans[1].interval == pytest.approx((100 - half, 100 + half), abs=0.01)
    # If the first two are of one subscriber, the sums by subscriber are -200 and 200.
    of_two = compare_bills(TARIFFS, Months(BEFORE), Months(NOW, np.array([0, 0, 1, 1])))
    assert of_two is not None
    half = 2.5758293 * math.sqrt(80_000 / 9)
    assert of_two.plans[1].interval == pytest.approx((100 - half, 100 + half), abs=0.01)


def test_the_means_of_a_profile_are_bounds_that_a_hand_computes() -> None:
    # Calls 10 and 20 add 2 and 4 minutes. Each value of calls goes with half of the rows, each of minutes with a third.
    # If most calls go with most minutes: 6 rows of 400 + 2, 400 + 2, 499 + 2, 499 + 4, 600 + 4, 600 + 4 minutes, which
    # cost 0 + 0 + 3 + 9 + 312 + 312 beyond the fee; if with fewest: 0 + 0 + 9 + 3 + 306 + 306.
    before = stored(np.array([[10, 400, 0, 0], [NAN, 600, 0, 15_361], [20, 499, 0, 0]]))
    found = compare_bills(TARIFFS, before, Months(NOW))
    assert found is not None
    assert (found.rows_known, found.reference_months) == (False, 3)
    smart, ultra = found.plans
    gigabyte = 200 / 3
    assert smart.reference_mean == pytest.approx((550 + 104 + gigabyte, 550 + 106 + gigabyte), abs=0.01)
    assert smart.change == pytest.approx((1784.33 - 656 - gigabyte, 1784.33 - 654 - gigabyte), abs=0.01)
    assert (ultra.reference_mean, ultra.change, ultra.interval) == ((1950, 1950), (100, 100), None)


@pytest.mark.parametrize("seed", range(20))
def test_the_bounds_of_a_profile_hold_the_mean_of_the_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    calls = rng.integers(0, 150, 300).astype(np.float64)
    rows = np.column_stack([calls, calls * rng.gamma(2, 3, 300), rng.gamma(1, 40, 300), rng.gamma(4, 4000, 300)])
    for tariffs in (TARIFFS, DOLLARS):
        exact = compare_bills(tariffs, Months(rows), Months(rows))
        bounds = compare_bills(tariffs, stored(rows), Months(rows))
        assert exact is not None
        assert bounds is not None
        for known, bound in zip(exact.plans, bounds.plans, strict=True):
            low, high = bound.reference_mean
            assert low <= known.reference_mean[0] <= high
            assert bound.change[0] <= 0 <= bound.change[1]


@pytest.mark.parametrize(("turned", "end"), [(False, 1), (True, 0)])
def test_a_bound_is_reached_where_minutes_and_calls_are_in_order(turned: bool, end: int) -> None:
    minutes = np.arange(0, 1000, 7.5)
    calls = np.arange(len(minutes), dtype=np.float64)[:: -1 if turned else 1]
    rows = np.column_stack([calls, minutes, np.zeros_like(calls), np.zeros_like(calls)])
    mean = Biller(TARIFFS).totals(Biller(TARIFFS).billed_table(rows))[0].mean() / 100
    found = compare_bills(TARIFFS, stored(rows), Months(rows))
    assert found is not None
    assert found.plans[0].reference_mean[end] == pytest.approx(mean, abs=0.006)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (BEFORE, NOW[2:3]),
        (NOW[2:3], NOW),
        (BEFORE, np.array([[0, 0, 0, MAX_USAGE * 2]])),
        (BEFORE * 1e9, NOW),
    ],
    ids=["no whole row now", "no whole row before", "too much now", "too much before"],
)
def test_what_cannot_be_billed_is_not(before: Values, now: Values) -> None:
    assert compare_bills(TARIFFS, Months(before), Months(now)) is None
    assert compare_bills(TARIFFS, stored(before), Months(now)) is None
