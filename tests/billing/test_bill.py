"""The biller: exact to the last unit, by a second implementation in decimal numbers, one by one and as a table."""

import math
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from plan_recommender.billing.bill import Biller
from plan_recommender.billing.tariffs import MAX_USAGE, load_tariffs
from tests.billing import oracle
from tools.server import ROOT

ROUBLES, DOLLARS = ROOT / "tariffs.yaml", ROOT / "examples" / "tariffs_usd.yaml"
RANDOM_MONTHS = 500_000  # of each of the two tariffs

Month = tuple[float, float, float, float]
"""Usage, in the order of the features."""

BOTH = pytest.mark.parametrize("path", [ROUBLES, DOLLARS], ids=["roubles", "dollars"])


@pytest.mark.slow
@BOTH
def test_a_million_random_months_cost_what_the_oracle_says(path: Path) -> None:
    tariffs, prices = load_tariffs(path), oracle.read(path)
    biller = Biller(tariffs)
    rng = np.random.default_rng(42)
    usage = np.round(rng.gamma(1.2, [[60, 400, 40, 15_000]], (RANDOM_MONTHS, 4)), 2)
    usage[rng.random(usage.shape) < 0.05] = 0
    whole = rng.random(usage.shape) < 0.1
    usage[whole] = np.floor(usage[whole])
    known = rng.random(RANDOM_MONTHS) < 0.5
    billed_minutes = np.where(known, np.ceil(usage[:, 1] * 1.1), np.nan)
    totals = biller.totals(biller.billed_table(usage, billed_minutes)).T.tolist()
    factor = 10**tariffs.decimals
    rows: list[Month] = list(map(tuple, usage.tolist()))
    for i, (month, minutes) in enumerate(zip(rows, billed_minutes.tolist(), strict=True)):
        given = None if math.isnan(minutes) else minutes
        bills = oracle.bill(prices, *month, given)
        assert totals[i] == [sum(items) * factor for items in bills], (month, given)
        if i % 10 == 0:
            found = biller.bills(biller.billed(*month, given))
            assert found == [(*(item * factor for item in items), sum(items) * factor) for items in bills]


@BOTH
def test_bills_at_below_and_above_every_boundary(path: Path) -> None:
    tariffs, prices = load_tariffs(path), oracle.read(path)
    biller = Biller(tariffs)
    factor = 10**tariffs.decimals
    minutes = _around(0, 500, 3000)
    messages = _around(0, 50, 1000)
    data = _around(*(1024 * gigabytes for gigabytes in (0, 1, 14, 15, 16, 29, 30, 31)))
    months = [(calls, *rest) for calls, *rest in product((0.0, 1.0, 4.0, 5.0, 104.0), minutes, messages, data)]
    table = biller.totals(biller.billed_table(np.array(months))).T.tolist()
    for month, totals in zip(months, table, strict=True):
        bills = oracle.bill(prices, *month)
        expected = [(*(item * factor for item in items), sum(items) * factor) for items in bills]
        assert biller.bills(biller.billed(*month)) == expected, month
        assert totals == [items[-1] for items in expected], month


@BOTH
def test_scenarios_are_billed_as_months_are(path: Path) -> None:
    tariffs = load_tariffs(path)
    for plans in (tariffs.plans, tariffs.plans[:1], tariffs.plans * 3):  # the names of plans do not matter to a biller
        biller = Biller(tariffs.model_copy(update={"plans": plans}))
        rng = np.random.default_rng(len(plans))
        for count in (1, 64):
            scenarios = biller.scenarios(count)
            usage = np.round(rng.normal([[450], [50], [16_000]], [[300], [40], [12_000]], (3, count)), 2)
            usage[:, 0] = [2 * MAX_USAGE, 1e300, 15_360.0]
            months = np.clip(usage, 0, MAX_USAGE)
            repeated = np.repeat(usage, len(plans), axis=0).ravel()
            assert len(repeated) == 3 * scenarios.repeats
            # Billed minutes are given, so that no calls are needed.
            expected = [
                [bill.total for bill in biller.bills(biller.billed(0, minutes, messages, mb_used, minutes))]
                for minutes, messages, mb_used in months.T.tolist()
            ]
            assert scenarios.totals(repeated).T.tolist() == expected


def test_a_bill_says_what_each_part_costs() -> None:
    biller = Biller(load_tariffs(ROUBLES))
    smart, ultra = biller.bills(biller.billed(85, 516.7, 56, 22696.96, billed_minutes=540))
    # 40 minutes at 3, 6 messages at 3, and 8 of 23 begun gigabytes at 200, beyond the fee of 550.
    assert smart == (550_00, 120_00, 18_00, 1600_00, 2288_00)
    assert ultra == (1950_00, 0, 0, 0, 1950_00)


@pytest.mark.parametrize(
    ("calls", "minutes", "given", "expected"),
    [
        (85, 516.7, 540, (540, False)),
        (85, 516.7, None, (517 + 17, True)),  # a fifth of the calls
        (4, 30.0, None, (30, True)),  # four fifths of a minute are rounded down
        (5, 30.0, None, (31, True)),
        (0, 0.0, None, (0, True)),
        (1, 0.0, 0, (0, False)),
        (9, 8.0, 8.25, (9, False)),
    ],
)
def test_billed_minutes_are_given_or_estimated(
    calls: float, minutes: float, given: float | None, expected: tuple[int, bool]
) -> None:
    billed = Biller(load_tariffs(ROUBLES)).billed(calls, minutes, 0, 0, given)
    assert (billed.minutes, billed.estimated) == expected


def test_an_estimate_lies_within_its_bounds() -> None:
    rng = np.random.default_rng(7)
    for share in ("0", "0.2", "0.5", "0.99"):
        tariffs = load_tariffs(ROUBLES)
        rounding = tariffs.minutes.model_copy(update={"call_share": Decimal(share)})
        biller = Biller(tariffs.model_copy(update={"minutes": rounding}))
        for calls in range(1, 200):
            minutes = round(float(rng.uniform(0, 10 * calls)), 2)
            found = biller.billed(calls, minutes, 0, 0).minutes
            assert math.ceil(minutes) <= found < minutes + calls, (share, calls, minutes)


def test_where_only_the_sum_is_rounded_the_bill_is_exact() -> None:
    tariffs = load_tariffs(ROUBLES)
    rounding = tariffs.minutes.model_copy(update={"rounding": "month"})
    biller = Biller(tariffs.model_copy(update={"minutes": rounding}))
    assert biller.billed(85, 516.2, 0, 0) == (517, 0, 0, False)
    assert biller.billed(85, 516.2, 0, 0, billed_minutes=540) == (517, 0, 0, False)
    table = biller.billed_table(np.array([[85, 516.2, 0, 0]]), np.array([540.0]))
    assert table.T.tolist() == [[517, 0, 0]]


@BOTH
def test_the_largest_usage_is_billed_exactly(path: Path) -> None:
    tariffs, prices = load_tariffs(path), oracle.read(path)
    biller = Biller(tariffs)
    months = [(MAX_USAGE,) * 4, (MAX_USAGE, 0.01, MAX_USAGE, 0.01)]
    expected = [[sum(items) * 10**tariffs.decimals for items in oracle.bill(prices, *month)] for month in months]
    assert biller.totals(biller.billed_table(np.array(months))).T.tolist() == expected
    for month, totals in zip(months, expected, strict=True):
        assert [bill.total for bill in biller.bills(biller.billed(*month))] == totals
        amounts = [tariffs.amount(int(total)) for total in totals]
        assert [Decimal(repr(amount)) for amount in amounts] == [total / 10**tariffs.decimals for total in totals]


def _around(*boundaries: int) -> list[float]:
    """Each boundary, a hundredth and one below it, and a hundredth and one above it."""
    steps = (-1.0, -0.01, 0.0, 0.01, 1.0)
    return [boundary + step for boundary in boundaries for step in steps if boundary + step >= 0]
