"""What a month of the reference and of the current sample costs on every plan, and how much that has changed.

Both samples are billed by the same tariffs, those in force, so that a change comes from usage and not from prices.
Where each call is rounded up, the billed minutes are estimated in both samples, even if a file knows them.
"""

from fractions import Fraction
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from plan_recommender.billing.bill import Biller
from plan_recommender.billing.tariffs import MAX_USAGE, Tariffs
from plan_recommender.drift.design_effect import Subscribers
from plan_recommender.drift.report import Bills, PlanBill
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values

_CONFIDENCE: Final = 0.99
_CALLS, _MINUTES, _MESSAGES, _MB_USED = range(len(FEATURE_NAMES))


class Months(NamedTuple):
    """The rows of a sample."""

    features: Values
    """Shape (rows, 4), columns in the order of `FEATURE_NAMES`, NaN where a value is missing."""
    subscribers: Subscribers | None = None
    """Whose each row is, shape (rows,)."""


class _Means(NamedTuple):
    """Mean bills of a sample, in smallest units, one of each plan."""

    low: list[Fraction]
    high: list[Fraction]
    """As `low` where the bills of the rows are known."""
    variances: list[float] | None
    """Of the means; None where the bills of the rows are not known."""


def compare_bills(tariffs: Tariffs, reference: Months | ReferenceProfile, current: Months) -> Bills | None:
    """Bill both samples and compare the means; rows with an empty cell are left out.

    A profile has no rows. Everything but the billed minutes depends on one feature, so that its mean is that of the
    values in the profile. Billed minutes beyond the included ones depend on calls and minutes together: their mean is
    largest if the subscribers with the most minutes make the most calls, and smallest if they make the fewest. The
    mean of the reference lies between the two.

    Returns:
        None if a sample has no row without an empty cell, or uses more than `MAX_USAGE` of anything.
    """
    biller = Biller(tariffs)
    current = _complete(current)
    if isinstance(reference, ReferenceProfile):
        columns = [np.array(feature.values) for feature in reference.features]
    else:
        reference = _complete(reference)
        columns = [reference.features.ravel()]
    if any(not len(column) or column.max() > MAX_USAGE for column in (*columns, current.features.ravel())):
        return None
    if isinstance(reference, ReferenceProfile):
        before, months = _of_profile(biller, reference), reference.rows
    else:
        before, months = _of_rows(biller, reference), len(reference.features)
    now = _of_rows(biller, current)
    return Bills(
        currency=tariffs.currency,
        decimals=tariffs.decimals,
        valid_from=tariffs.valid_from.isoformat(),
        digest=tariffs.digest,
        rows_known=before.variances is not None,
        reference_months=months,
        current_months=len(current.features),
        plans=[_plan(tariffs, plan, before, now) for plan in range(len(tariffs.plans))],
    )


def _plan(tariffs: Tariffs, plan: int, before: _Means, now: _Means) -> PlanBill:
    """Round the means to smallest units, and then take the change, so that the figures add up."""
    low, high, mean = (round(means[plan]) for means in (before.low, before.high, now.low))
    interval = None
    if before.variances is not None and now.variances is not None:
        half = float(norm.ppf((1 + _CONFIDENCE) / 2)) * (before.variances[plan] + now.variances[plan]) ** 0.5
        change = float(now.low[plan] - before.low[plan])
        interval = tariffs.amount(floor(change - half)), tariffs.amount(ceil(change + half))
    return PlanBill(
        plan=tariffs.names[plan],
        reference_mean=(tariffs.amount(low), tariffs.amount(high)),
        current_mean=tariffs.amount(mean),
        change=(tariffs.amount(mean - high), tariffs.amount(mean - low)),
        interval=interval,
    )


def _complete(months: Months) -> Months:
    known = ~np.isnan(months.features).any(axis=1)
    subscribers = None if months.subscribers is None else months.subscribers[known]
    return Months(months.features[known], subscribers)


def _of_rows(biller: Biller, months: Months) -> _Means:
    totals = biller.totals(biller.billed_table(months.features))
    # Python's whole numbers, because the sum of very large bills may have more digits than NumPy's.
    means = [Fraction(sum(of_plan.tolist()), len(of_plan)) for of_plan in totals]
    variances = [
        _variance(of_plan, float(mean), months.subscribers) for of_plan, mean in zip(totals, means, strict=True)
    ]
    return _Means(means, means, variances)


def _variance(totals: npt.NDArray[np.int64], mean: float, subscribers: Subscribers | None) -> float:
    """Estimate the variance of a mean; the rows of one subscriber count as one observation."""
    deviations = totals - mean
    sums = deviations if subscribers is None else np.bincount(subscribers, weights=deviations)
    return float(np.sum(np.square(sums))) / len(totals) ** 2


def _of_profile(biller: Biller, profile: ReferenceProfile) -> _Means:
    values = {feature.name: np.array(feature.values) for feature in profile.features}
    calls, minutes, messages, mb_used = (values[name] for name in FEATURE_NAMES)
    fees = _means(biller, np.zeros((1, 4)), np.ones(1, dtype=np.int64))
    of_messages, of_data = (
        _means(biller, _usage(len(column), {place: column}), np.ones(len(column), dtype=np.int64))
        for place, column in ((_MESSAGES, messages), (_MB_USED, mb_used))
    )
    ends = []
    for ordered in (calls[::-1], calls):
        first, second, weights = _coupled(len(ordered), len(minutes))
        usage = _usage(len(weights), {_CALLS: ordered[first], _MINUTES: minutes[second]})
        of_minutes = _means(biller, usage, weights)
        # Each of the three has the fee in it.
        ends.append([a + b + c - 2 * fee for a, b, c, fee in zip(of_minutes, of_messages, of_data, fees, strict=True)])
    return _Means(ends[0], ends[1], None)


def _usage(rows: int, columns: dict[int, Values]) -> Values:
    usage = np.zeros((rows, len(FEATURE_NAMES)))
    for place, column in columns.items():
        usage[:, place] = column
    return usage


def _means(biller: Biller, usage: Values, weights: npt.NDArray[np.int64]) -> list[Fraction]:
    totals = biller.totals(biller.billed_table(usage))
    whole = weights.tolist()
    return [
        Fraction(sum(weight * total for weight, total in zip(whole, of_plan.tolist(), strict=True)), sum(whole))
        for of_plan in totals
    ]


def _coupled(first: int, second: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lay two columns of values beside each other, of which each value has the same weight in its column.

    Returns:
        Positions in the first and in the second column, and whole weights, which add up to `first * second`.
    """
    ends = np.union1d(np.arange(1, first + 1) * second, np.arange(1, second + 1) * first)
    return (ends - 1) // second, (ends - 1) // first, np.diff(ends, prepend=0)
