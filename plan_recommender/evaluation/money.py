"""What recommending Ultra is worth in money, under the operator's assumptions.

A subscriber who is recommended Ultra is contacted, which has a cost. One who fits Ultra moves and pays more; one who
does not may leave, which is an expected loss. The amounts are assumptions (section `money` of the configuration). So is
that the label Ultra means "fits Ultra": the table says which plan a subscriber had, not what a contact would change.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import MoneySettings
from plan_recommender.evaluation.metrics import Labels, Probabilities

PER = 1000
"""Amounts and counts are given per this many subscribers."""

_THRESHOLDS = np.arange(101) / 100

_Counts = npt.NDArray[np.int64]
_Amounts = npt.NDArray[np.float64]


class ImpactRow(BaseModel):
    """The result of one way to decide; counts and amounts per 1,000 subscribers and month."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Annotated[float, Field(description="probability of Ultra from which Ultra is recommended")]
    contacts: Annotated[float, Field(description="subscribers recommended Ultra")]
    true_positives: Annotated[float, Field(description="of these, those on Ultra")]
    false_positives: Annotated[float, Field(description="of these, those on Smart")]
    gross: Annotated[float, Field(description="true positives times uplift")]
    cost: Annotated[float, Field(description="contacts times their cost, and false positives times the churn cost")]
    net: Annotated[float, Field(description="gross less cost")]
    net_low: Annotated[float, Field(description="lower end of the bootstrap interval of the net result")]
    net_high: Annotated[float, Field(description="upper end of the bootstrap interval of the net result")]


class BusinessImpact(BaseModel):
    """The result of a set of decisions, and those of all thresholds on the same rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str
    assumptions: Annotated[dict[str, str | int | float], Field(description="section `money` of the configuration")]
    break_even: Annotated[float, Field(description="probability above which a contact is expected to pay")]
    at_threshold: Annotated[ImpactRow, Field(description="the decisions that were measured")]
    best: Annotated[ImpactRow, Field(description="highest net on these rows, which flatters it: it was chosen on them")]
    curve: Annotated[list[ImpactRow], Field(description="thresholds 0.00, 0.01 to 1.00")]


def break_even_probability(money: MoneySettings) -> float:
    """Probability of Ultra (0 to 1) above which the expected profit of one contact is positive.

    At probability p the profit is p (uplift - contact) - (1 - p) (contact + churn), which is 0 at
    (contact + churn) / (uplift + churn) (Elkan 2001, "The foundations of cost-sensitive learning"). It is 1 if no
    probability makes a contact profitable.
    """
    at_stake = money.uplift_per_month + money.churn_cost
    if at_stake == 0:
        return 1.0
    return min(1.0, (money.contact_cost + money.churn_cost) / at_stake)


def expected_profit(target: Labels, decisions: Labels, money: MoneySettings) -> float:
    """Net result of decisions, each array of shape (rows,), in currency per 1,000 subscribers and month."""
    true_positives, false_positives = _outcomes(target, decisions)
    return float(_net(true_positives, false_positives, money)[0] / len(target) * PER)


def measure_impact(
    target: Labels,
    probabilities: Probabilities,
    decisions: Labels,
    threshold: float,
    money: MoneySettings,
    seed: int,
) -> BusinessImpact:
    """Compute the result of decisions in money, and that of every threshold from 0 to 1 in steps of 0.01.

    The intervals are percentile bootstrap intervals over rows (Efron & Tibshirani 1993, "An introduction to the
    bootstrap", chapter 13).

    Args:
        target: labels, shape (rows,).
        probabilities: of Ultra, 0 to 1, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,); `at_threshold` is their result.
        threshold: the number that `at_threshold` shows; the result does not depend on it.
        money: the operator's assumptions, the number of resamples and the confidence.
        seed: draws the resamples.
    """
    rng = np.random.default_rng(seed)
    rows = len(target)
    true_positives, false_positives = _outcomes(target, decisions)
    kinds = np.concatenate([true_positives, false_positives, rows - true_positives - false_positives])
    samples = rng.multinomial(rows, kinds / rows, size=money.bootstrap_samples)
    (at_threshold,) = _impact_rows(
        np.array([threshold]), true_positives, false_positives, samples[:, :1], samples[:, 1:2], rows, money
    )
    cells = _cells(target, probabilities)
    shape = (money.bootstrap_samples, *cells.shape)
    resampled = rng.multinomial(rows, cells.ravel() / rows, size=money.bootstrap_samples).reshape(shape)
    (smart, ultra), (smart_samples, ultra_samples) = _contacted(cells), np.moveaxis(_contacted(resampled), -2, 0)
    curve = _impact_rows(_THRESHOLDS, ultra, smart, ultra_samples, smart_samples, rows, money)
    best = max(row.net for row in curve)
    return BusinessImpact(
        currency=money.currency,
        assumptions=money.model_dump(),
        break_even=break_even_probability(money),
        at_threshold=at_threshold,
        best=[row for row in curve if row.net == best][-1],  # of equal results, the one with the fewest contacts
        curve=curve,
    )


def _outcomes(target: Labels, decisions: Labels) -> tuple[_Counts, _Counts]:
    """Count true and false positives; each count has shape (1,), like those of one threshold."""
    smart, ultra = np.bincount(target[decisions == 1], minlength=2)
    return np.array([ultra]), np.array([smart])


def _cells(target: Labels, probabilities: Probabilities) -> _Counts:
    """Count rows by label and by the highest threshold that they reach, shape (2, thresholds).

    The curve depends on these counts only. A resample of rows is therefore a draw from the cells, whose size does not
    grow with the table.
    """
    last = np.searchsorted(_THRESHOLDS, probabilities, side="right") - 1
    cells = np.bincount(target * len(_THRESHOLDS) + last, minlength=2 * len(_THRESHOLDS))
    return cells.reshape(2, len(_THRESHOLDS))


def _contacted(cells: _Counts) -> _Counts:
    """Turn counts of rows by the highest threshold that they reach into counts of rows that reach each threshold.

    The thresholds are the last axis.
    """
    return np.flip(np.cumsum(np.flip(cells, axis=-1), axis=-1), axis=-1)


def _impact_rows(
    thresholds: _Amounts,
    true_positives: _Counts,
    false_positives: _Counts,
    true_positive_samples: _Counts,
    false_positive_samples: _Counts,
    rows: int,
    money: MoneySettings,
) -> list[ImpactRow]:
    """Make one row for each threshold, from counts of shape (thresholds,) and, of resamples, (samples, thresholds)."""
    tail = (1 - money.confidence) / 2
    nets = _net(true_positive_samples, false_positive_samples, money) / rows * PER
    low, high = np.quantile(nets, [tail, 1 - tail], axis=0)
    contacts = true_positives + false_positives
    columns = {
        "threshold": thresholds,
        "contacts": contacts / rows * PER,
        "true_positives": true_positives / rows * PER,
        "false_positives": false_positives / rows * PER,
        "gross": _gross(true_positives, money) / rows * PER,
        "cost": _cost(true_positives, false_positives, money) / rows * PER,
        "net": _net(true_positives, false_positives, money) / rows * PER,
        "net_low": low,
        "net_high": high,
    }
    return [
        ImpactRow(**dict(zip(columns, values, strict=True)))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]


def _gross(true_positives: _Counts, money: MoneySettings) -> _Amounts:
    return true_positives.astype(np.float64) * money.uplift_per_month


def _cost(true_positives: _Counts, false_positives: _Counts, money: MoneySettings) -> _Amounts:
    return (true_positives + false_positives) * money.contact_cost + false_positives * money.churn_cost


def _net(true_positives: _Counts, false_positives: _Counts, money: MoneySettings) -> _Amounts:
    return _gross(true_positives, money) - _cost(true_positives, false_positives, money)
