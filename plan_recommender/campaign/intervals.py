"""Intervals of the difference of two means and of two rates, of independent groups."""

from math import hypot, sqrt
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

Verdict = Literal["lower", "higher", "cannot tell"]

Values = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """A difference, the first group less the second, and its confidence interval."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Whether the first group is lower or higher than the second, if the interval says so."""
        if self.high < 0:
            return "lower"
        return "higher" if self.low > 0 else "cannot tell"


def mean_difference(first: Values, second: Values, confidence: float) -> Difference:
    """Compare two means, whatever the variances of the groups.

    The interval is that of Welch (1947), "The generalization of 'Student's' problem when several different population
    variances are involved", with the degrees of freedom of Satterthwaite (1946).

    Args:
        first: values of the first group, at least 2.
        second: of the second group, at least 2.
        confidence: share of such intervals (0 to 1) that cover the difference.
    """
    difference = float(first.mean() - second.mean())
    errors = [float(values.var(ddof=1)) / len(values) for values in (first, second)]
    total = sum(errors)
    if total == 0:
        return Difference(difference, difference, difference)
    degrees = total**2 / (errors[0] ** 2 / (len(first) - 1) + errors[1] ** 2 / (len(second) - 1))
    half = float(stdtrit(degrees, (1 + confidence) / 2)) * sqrt(total)
    return Difference(difference, difference - half, difference + half)


def rate_difference(first: tuple[int, int], second: tuple[int, int], confidence: float) -> Difference:
    """Compare two rates, also of few events.

    The interval is the hybrid score interval, method 10 of Newcombe (1998), "Interval estimation for the difference
    between independent proportions: comparison of eleven methods", Statistics in Medicine 17: the ends of the two score
    intervals of Wilson (1927) are joined.

    Args:
        first: events, and how many there could have been, at least 1.
        second: the same of the second group.
        confidence: share of such intervals (0 to 1) that cover the difference, about.
    """
    rates = [events / of for events, of in (first, second)]
    (low, high), (other_low, other_high) = (wilson(*counts, confidence) for counts in (first, second))
    difference = rates[0] - rates[1]
    return Difference(
        difference,
        difference - hypot(rates[0] - low, other_high - rates[1]),
        difference + hypot(high - rates[0], rates[1] - other_low),
    )


def wilson(events: int, of: int, confidence: float) -> tuple[float, float]:
    """Give the score interval of a rate (Wilson 1927, "Probable inference, the law of succession"): low and high."""
    z = float(ndtri((1 + confidence) / 2))
    rate = events / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    # At 0 and 1 the end is exact; rounding must not put it outside.
    return (0.0 if events == 0 else middle - half, 1.0 if events == of else middle + half)
