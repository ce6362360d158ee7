"""Backtest of the advice: what months that are known by now cost those who followed it, or another rule.

Every whole month of a subscriber, but for the first, is one case. The advice is given from the months before it and the
plan held then; afterwards the month is billed on every plan. What a rule overpays is the bill on the plan that it
chooses less that on the cheapest one. It is assumed that usage does not change with the plan.
"""

from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.billing.advice import Advice, Adviser
from plan_recommender.billing.bill import Biller
from plan_recommender.billing.forecast import Month
from plan_recommender.data.month_spill import History
from plan_recommender.errors import TableError

CONFIDENCE: Final = 0.95
KEEP: Final = "keep the plan held"
LAST: Final = "cheaper on last month's bill"
ADVICE: Final = "the advice"
CLAIRVOYANT: Final = "clairvoyant"

_SAMPLES: Final = 2_000
_KNOWN: Final = {"1 month known": (1, 1), "2 or 3 months known": (2, 3), "4 or more months known": (4, None)}
_THIRDS: Final = ("least data", "middle third", "most data")

Whole = npt.NDArray[np.int64]


class Rule(NamedTuple):
    """What one rule overpays a month: mean over the cases (currency), with bootstrap intervals by subscriber."""

    name: str
    overpaid: float
    low: float
    high: float
    right: float
    """Share of the cases in which nothing is overpaid (0 to 1)."""
    ratio: float | None
    """What is overpaid as a share of what keeping overpays; None, as are its ends, where keeping overpays nothing."""
    ratio_low: float | None
    ratio_high: float | None


class Coverage(NamedTuple):
    """How many of the 90 % intervals of the bill held what the month cost."""

    group: str
    cases: int
    held: float
    """On the plan held (0 to 1)."""
    pooled: float
    """On all plans, each counted as one (0 to 1)."""


class Savings(NamedTuple):
    """What was expected of advice to switch, and what became of it; means over such cases."""

    group: str
    cases: int
    expected: float
    """Saving that was expected (currency)."""
    real: float
    """Saving (currency)."""
    p_saves: float
    """Probability of a saving that was told (0 to 1)."""
    saved: float
    """Share of the cases in which something was saved (0 to 1)."""
    covered: float
    """Share of the 90 % intervals of the saving that held it (0 to 1)."""


class Backtest(NamedTuple):
    """What was found out."""

    subscribers: int
    cases: int
    without_plan: int
    """Months that are no cases, because no plan was known before them."""
    rules: list[Rule]
    advised: Whole
    """Number of cases by plan held and plan advised, shape (plans, plans)."""
    savings: npt.NDArray[np.float64]
    """What each month after an advice to switch cost less on the plan advised (currency)."""
    coverage: list[Coverage]
    """Of all cases, and of groups of them."""
    expectations: list[Savings]
    """Of all advice to switch, and by the months that were known."""

    @property
    def switches(self) -> float:
        """Share of the cases in which a switch was advised (0 to 1)."""
        return len(self.savings) / self.cases

    def rule(self, name: str) -> Rule:
        """Give the rule of that name."""
        return next(rule for rule in self.rules if rule.name == name)


def backtest(histories: Iterable[History], adviser: Adviser, seed: int) -> Backtest:
    """Follow the advice, and the other rules, through histories of subscribers.

    Args:
        histories: one for each subscriber.
        adviser: gives the advice.
        seed: draws the bootstrap samples.

    Raises:
        TableError: no month can be advised on and billed afterwards.
    """
    tariffs = adviser.tariffs
    biller = Biller(tariffs)
    names = [KEEP, *(f"everybody on {name}" for name in tariffs.names), LAST, ADVICE, CLAIRVOYANT]
    rows, past_data, without_plan = array("q"), array("d"), 0
    told = array("d")
    for number, history in enumerate(histories):
        for place in range(1, len(history.used)):
            if history.used[place].active_share < 1:
                continue
            held, months = history.before(place)
            if held is None:
                without_plan += 1
                continue
            advice = adviser.advise(held, months)
            rows.extend((number, len(months), *_case(advice, biller, held, history.used[place])))
            told.extend((advice.saving.expected, advice.saving.low, advice.saving.high, advice.saving.p_saves))
            past_data.append(sum(month.mb_used for month in months) / sum(month.active_share for month in months))
    if not rows:
        raise TableError(
            "expected a whole month after another one of the same subscriber whose plan was known by then, found none"
        )
    plans = len(tariffs.names)
    cases: Whole = np.array(rows, dtype=np.int64).reshape(-1, 4 + plans + len(names))
    subscribers, known, held_plans, advised = cases[:, :4].T
    covered, overpaid = cases[:, 4 : 4 + plans].astype(bool), cases[:, 4 + plans :]
    owners = np.unique(subscribers, return_inverse=True)[1]
    counts = np.zeros((plans, plans), dtype=np.int64)
    np.add.at(counts, (held_plans, advised), 1)
    switched = held_plans != advised
    unit = 10**tariffs.decimals
    return Backtest(
        subscribers=int(owners[-1]) + 1,
        cases=len(cases),
        without_plan=without_plan,
        rules=_rules(names, overpaid, owners, unit, seed),
        advised=counts,
        savings=(overpaid[switched, 0] - overpaid[switched, names.index(ADVICE)]) / unit,
        coverage=_coverage(covered, held_plans, known, np.array(past_data)),
        expectations=_expectations(
            np.array(told).reshape(-1, 4)[switched],
            (overpaid[switched, 0] - overpaid[switched, names.index(ADVICE)]).astype(np.float64),
            known[switched],
            unit,
        ),
    )


def _expectations(
    told: npt.NDArray[np.float64], real: npt.NDArray[np.float64], known: Whole, unit: int
) -> list[Savings]:
    """Compare what was told of each switch, shape (switches, 4), with what it saved, shape (switches,)."""
    groups = {"all": known > 0}
    groups |= {name: (known >= low) & (known <= (high or np.inf)) for name, (low, high) in _KNOWN.items()}
    return [
        Savings(
            group=name,
            cases=int(chosen.sum()),
            expected=float(told[chosen, 0].mean()) / unit,
            real=float(real[chosen].mean()) / unit,
            p_saves=float(told[chosen, 3].mean()),
            saved=float(np.mean(real[chosen] > 0)),
            covered=float(np.mean((told[chosen, 1] <= real[chosen]) & (real[chosen] <= told[chosen, 2]))),
        )
        for name, chosen in groups.items()
        if chosen.any()
    ]


def _case(advice: Advice, biller: Biller, held: int, month: Month) -> list[int]:
    """Bill the month after an advice.

    Returns:
        The plan held, the plan advised, for each plan whether the interval held the bill, and what each rule overpays.
    """
    bills = [bill.total for bill in biller.bills(biller.billed(*month[:5]))]
    last = [bill.total for bill in advice.last_bills]
    by_last = held if last[held] == min(last) else last.index(min(last))
    covered = [int(plan.low <= bill <= plan.high) for plan, bill in zip(advice.plans, bills, strict=True)]
    chosen = [held, *range(len(bills)), by_last, advice.advised, bills.index(min(bills))]
    return [held, advice.advised, *covered, *(bills[plan] - min(bills) for plan in chosen)]


def _rules(names: list[str], overpaid: Whole, owners: Whole, unit: int, seed: int) -> list[Rule]:
    """Measure every rule; subscribers are drawn, not cases, because the months of one depend on each other."""
    ones = np.ones(len(overpaid), dtype=np.int64)
    sums = np.stack([np.bincount(owners, column) for column in (ones, *overpaid.T)], axis=1)  # exact below 2^53
    rng = np.random.default_rng(seed)
    totals = np.empty((_SAMPLES, sums.shape[1]))
    for i in range(_SAMPLES):
        totals[i] = np.bincount(rng.integers(len(sums), size=len(sums)), minlength=len(sums)) @ sums
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    means = totals[:, 1:] / totals[:, :1] / unit
    lows, highs = np.quantile(means, tails, axis=0).tolist()
    keeping = totals[totals[:, 1] > 0]
    found = []
    for k, name in enumerate(names):
        ratio = ratio_low = ratio_high = None
        if len(keeping):
            ratio = float(overpaid[:, k].sum() / overpaid[:, 0].sum())
            ratio_low, ratio_high = np.quantile(keeping[:, k + 1] / keeping[:, 1], tails).tolist()
        mean, right = float(overpaid[:, k].mean()) / unit, float(np.mean(overpaid[:, k] == 0))
        found.append(Rule(name, mean, lows[k], highs[k], right, ratio, ratio_low, ratio_high))
    return found


def _coverage(
    covered: npt.NDArray[np.bool_], held: Whole, known: Whole, past_data: npt.NDArray[np.float64]
) -> list[Coverage]:
    """Count covered bills, over all cases and by what was known before: months, and thirds of data use."""
    on_held = covered[np.arange(len(held)), held]
    groups = {"all": np.ones(len(held), dtype=bool)}
    third = np.searchsorted(np.quantile(past_data, [1 / 3, 2 / 3]), past_data)
    groups |= {name: third == i for i, name in enumerate(_THIRDS)}
    groups |= {name: (known >= low) & (known <= (high or known.max())) for name, (low, high) in _KNOWN.items()}
    return [
        Coverage(name, int(chosen.sum()), float(on_held[chosen].mean()), float(covered[chosen].mean()))
        for name, chosen in groups.items()
        if chosen.any()
    ]
