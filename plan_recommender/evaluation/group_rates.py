"""The rates at which groups are recommended Ultra, and confidence intervals of their differences that hold together.

1. The rows of a subscriber resemble each other, so a group counts as fewer rows than it has: its effective rows
   (`_effective_rows`).
2. The interval of a rate is that of Clopper & Pearson (1934) for the effective rows, as Korn & Graubard (1998,
   "Confidence intervals for proportions with small expected number of positive counts estimated from survey data")
   propose. It is never of width 0, and covers at least what it says, however few the rows are.
3. The interval of a difference follows from those of its two rates (Newcombe 1998, "Interval estimation for the
   difference between independent proportions", method 10; Zou & Donner 2008). Newcombe takes the limits of Wilson;
   these cover too little when a small group with a rate near 0 or 1 is compared with a large one.

Intervals of c differences that each have the confidence 1 - alpha / c hold together with at least the confidence
1 - alpha (Bonferroni).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv
from scipy.stats import t as student

from plan_recommender.evaluation.metrics import Labels

Codes = npt.NDArray[np.int64]
_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """Lower and upper ends of intervals, arrays of one shape."""

    low: _Values
    high: _Values

    @property
    def half_width(self) -> _Values:
        """Half of the length of each interval."""
        width: _Values = (self.high - self.low) / 2
        return width

    @property
    def nearest(self) -> _Values:
        """Smallest distance from 0 within each interval; negative where it holds 0."""
        return np.maximum(self.low, -self.high)

    @property
    def farthest(self) -> _Values:
        """Largest distance from 0 within each interval."""
        return np.maximum(-self.low, self.high)


@dataclass(frozen=True)
class GroupedRates:
    """Selection rate, true positive rate and false positive rate of every group, and how well they are known."""

    rates: _Values
    """Shape (3, groups); 0.5 where there are no rows."""
    rows: Codes
    """Rows that each is a share of (all, the Ultra ones, the Smart ones), shape (3, groups)."""
    effective: _Values
    """Effective rows, shape (3, groups)."""
    degrees: Codes
    """Degrees of freedom within groups of each rate's rows, and of its subscribers, shape (3, 2)."""
    correlations: _Values
    """Of the decisions about two rows of a subscriber, for each rate, shape (3,)."""

    def intervals(self, alpha: float) -> Intervals:
        """Give the intervals of all rates, shape (3, groups), each of confidence 1 - `alpha`.

        Korn & Graubard's ratio of t quantiles widens them where few subscribers tell what the effective rows are.
        """
        quantiles = np.asarray(student.isf(alpha / 2, np.maximum(self.degrees, 1)))
        rows = self.effective * (quantiles[:, :1] / quantiles[:, 1:]) ** 2
        recommended = self.rates * rows
        low = np.where(recommended > 0, betaincinv(recommended, rows - recommended + 1, alpha / 2), 0)
        high = np.where(recommended < rows, betaincinv(recommended + 1, rows - recommended, 1 - alpha / 2), 1)
        return Intervals(low, high)

    def differences(self, pairs: Codes, alpha: float) -> Intervals:
        """Give the intervals of the differences, first group less second, each of confidence 1 - `alpha`.

        Args:
            pairs: two groups each, shape (pairs, 2).
            alpha: chance (0 to 1) that one of the intervals misses its difference.

        Returns:
            The intervals, shape (3, pairs).
        """
        one, other = pairs.T
        found = self.intervals(alpha)
        below, above = self.rates - found.low, found.high - self.rates
        difference = self.rates[:, one] - self.rates[:, other]
        return Intervals(
            np.maximum(difference - np.hypot(below[:, one], above[:, other]), -1),
            np.minimum(difference + np.hypot(above[:, one], below[:, other]), 1),
        )


def measure_rates(group: Codes, subscriber: Codes, target: Labels, decisions: Labels) -> GroupedRates:
    """Measure the three rates of every group.

    Args:
        group: of each row, from 0 without gaps, shape (rows,).
        subscriber: of each row, shape (rows,); a subscriber may have rows in several groups.
        target: labels, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,).
    """
    groups = int(group.max()) + 1
    owners, owner = np.unique(subscriber, return_inverse=True)
    cell = group * len(owners) + owner  # a subscriber's rows in one group
    measured = []
    for of_rate in (np.full(len(target), True), target == 1, target == 0):
        rows = np.bincount(group[of_rate], minlength=groups)
        rates = np.full(groups, 0.5)
        recommended = np.bincount(group[of_rate], weights=decisions[of_rate], minlength=groups)
        np.divide(recommended, rows, out=rates, where=rows > 0)
        effective = _effective_rows(group[of_rate], cell[of_rate], decisions[of_rate], rates, rows)
        measured.append((rates, rows, *effective))
    return GroupedRates(*(np.array(part) for part in zip(*measured, strict=True)))


def _effective_rows(
    group: Codes, cell: Codes, decisions: Labels, rates: _Values, rows: Codes
) -> tuple[_Values, tuple[int, int], float]:
    """Divide the rows of each group by their design effect, 1 + (m - 1) r (Kish 1965, "Survey sampling").

    m is the number of rows of the group that share a subscriber, a mean over its rows. r is the correlation of two rows
    of a subscriber, at least 0, by analysis of variance (Ridout, Demétrio & Firth 1999, "Estimating intraclass
    correlation for binary data"); from all groups together, because one group may have few subscribers, and 1 where all
    rates are 0 or 1, so that nothing tells it. Rows of a subscriber in two groups count as those of two subscribers.
    If they resemble each other, the difference of the groups is better known than its interval says.

    Returns:
        The effective rows of each group; the degrees of freedom of rows and of subscribers within groups; and r.
    """
    _, first, cell_of, sizes = np.unique(cell, return_index=True, return_inverse=True, return_counts=True)
    cell_group = group[first]
    present = int(np.count_nonzero(rows))
    degrees = (len(group) - present, len(sizes) - present)
    squares = np.bincount(cell_group, weights=sizes**2, minlength=len(rows))
    shared_by = np.divide(squares, rows, out=np.ones(len(rows)), where=rows > 0)
    shares = np.bincount(cell_of, weights=decisions) / sizes
    between = np.sum(sizes * (shares - rates[cell_group]) ** 2) / max(degrees[1], 1)
    within = np.sum(sizes * shares * (1 - shares)) / max(len(group) - len(sizes), 1)
    typical_size = (len(group) - shared_by[rows > 0].sum()) / max(degrees[1], 1)
    spread = between + (typical_size - 1) * within
    correlation = max((between - within) / spread, 0.0) if spread > 0 and degrees[1] > 0 else 1.0
    return rows / (1 + (shared_by - 1) * correlation), degrees, float(correlation)
