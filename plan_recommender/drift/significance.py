"""How likely chance makes a distance: p-values of two samples' counts, and their correction for many tests.

Counts may be divided by a design effect first (Rao and Scott 1981, doi 10.1080/01621459.1981.10477633).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from plan_recommender.monitoring.distance import (
    dependence_degrees,
    dependence_statistic,
    gap,
    harmonic_size,
    shares_distance,
)

Values = npt.NDArray[np.float64]

_POINTS: Final = 20_000
_FEW: Final = 6
"""With fewer weights than that the integrand falls too slowly to be integrated."""
_SMALLEST: Final = 1e-12
"""Below it a p-value of a weighted sum is given as this: the integral is not more exact."""


class Test(NamedTuple):
    """A comparison of two samples."""

    p_value: float
    distance: float
    """Effect size, without a unit; see `distance` of `gap`, and phi, the root of chi-square by sample size."""


def compare_quantity(reference: Values, current: Values) -> Test:
    """Compare two histograms over the same ordered bins by the binned statistic of Anderson and Darling, (bins,).

    Without a difference the statistic is distributed like a sum of squares of normal variables, whose covariance is
    that of the empirical distribution functions at the edges.
    """
    size = float(harmonic_size(reference.sum(), current.sum()))
    found = gap(reference, current)
    root = np.sqrt(found.weights)
    covariance = np.minimum.outer(found.below, found.below) - np.outer(found.below, found.below)
    eigenvalues = np.linalg.eigvalsh(root[:, None] * covariance * root)
    distance = float(found.distance)
    return Test(weighted_chi_square_tail(size * distance**2, eigenvalues.astype(np.float64)), distance)


def compare_shares(reference: Values, current: Values) -> Test:
    """Compare two histograms by the chi-square test of homogeneity, which knows no order of the bins."""
    phi_square, degrees = shares_distance(reference, current)
    size = float(harmonic_size(reference.sum(), current.sum()))
    return Test(_tail(size * phi_square, degrees), phi_square**0.5)


def compare_dependence(reference: Values, current: Values, variation: float = 0.0) -> Test:
    """Compare how two quantities go together, by the tables of their counts, (first bins, second bins).

    See `dependence_statistic`. `variation` is that of the design effects by whose mean the counts were divided: the
    statistic is then compared with a chi-square distribution of the same mean and variance (Rao and Scott's second
    order, after Satterthwaite).
    """
    statistic = dependence_statistic(reference, current)
    degrees = dependence_degrees(reference, current)
    size = float(harmonic_size(reference.sum(), current.sum()))
    return Test(
        _tail(statistic / (1 + variation), degrees / (1 + variation)), (statistic / size) ** 0.5 if size else 0.0
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for there being many (Holm 1979): any is below alpha by chance in at most alpha of trials."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.array(p_values)[order] * factors))
    result = np.empty(len(p_values))
    result[order] = adjusted
    return result.tolist()


def weighted_chi_square_tail(value: float, weights: Values) -> float:
    """Give the probability that a sum of squares of standard normal variables, times these weights, exceeds a value.

    It is the integral of Imhof (1961, doi 10.1093/biomet/48.3-4.419), by the trapezoidal rule over an interval beyond
    which the integrand is below 1e-13.
    """
    scale = float(weights.max(initial=0.0))
    weights = weights[weights > 1e-10 * scale] / scale if scale else weights[:0]
    if not len(weights) or value <= 0:
        return 1.0
    value /= scale
    if len(weights) < _FEW:  # a chi-square of the same mean and variance is close
        mean, variance = weights.sum(), 2 * (weights**2).sum()
        return _tail(2 * mean / variance * value, 2 * mean**2 / variance)
    end = _end(weights)
    u = np.linspace(0.0, end, _POINTS + 1)[1:]
    angle = 0.5 * np.arctan(weights[:, None] * u).sum(axis=0) - 0.5 * value * u
    integrand = np.sin(angle) / (u * np.exp(0.25 * np.log1p((weights[:, None] * u) ** 2).sum(axis=0)))
    first = 0.5 * (weights.sum() - value)  # the limit at 0
    step = end / _POINTS
    integral = step * (0.5 * first + integrand[:-1].sum() + 0.5 * integrand[-1])
    return float(min(1.0, max(_SMALLEST, 0.5 + integral / np.pi)))


def _end(weights: Values) -> float:
    """Find where the integrand has become smaller than 1e-13."""
    end = 10.0
    while np.exp(-0.25 * np.log1p((weights * end) ** 2).sum()) / end > 1e-13 and end < 1e6:
        end *= 1.5
    return end


def _tail(value: float, degrees: float) -> float:
    return float(chi2.sf(value, degrees)) if degrees > 0 else 1.0
