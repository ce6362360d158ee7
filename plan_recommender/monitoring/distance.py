"""How far two histograms are from each other: of one quantity, and of how two quantities go together.

A distance is 0 where the shares are equal. It has no unit, and says nothing of chance: two samples of the same world
are never at distance 0.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

_ROUNDS: Final = 200
_TOLERANCE: Final = 1e-10
"""Relative change of a fitted table from which another round of fitting changes nothing that matters."""


class Gap(NamedTuple):
    """How far the distribution functions of two histograms lie apart."""

    distance: Values
    """Root of the mean squared gap, in standard deviations of what a single row says; shape (...)."""
    weights: Values
    """Weight of the squared gap at each edge, shape (..., edges)."""
    below: Values
    """Share of both samples up to each edge, shape (..., edges)."""


def population_stability_index(reference: npt.ArrayLike, current: npt.ArrayLike, smoothing: float) -> float:
    """PSI of two histograms over the same bins (Siddiqi 2006, "Credit Risk Scorecards"): no unit, 0 if they are alike.

    It is the sum of (c - r) ln(c / r) over the shares r and c of the bins. `smoothing` rows, more than 0, are added to
    every bin of both histograms, because an empty bin would make it infinite.
    """
    smoothed = [np.asarray(counts, dtype=np.float64) + smoothing for counts in (reference, current)]
    r, c = (counts / counts.sum() for counts in smoothed)
    return float(np.sum((c - r) * np.log(c / r)))


def gap(reference: Values, current: Values) -> Gap:
    """Compare two histograms over the same ordered bins, each of shape (..., bins), with rows in both of them.

    The squared distance is the statistic of Anderson and Darling for two samples (Pettitt 1976, doi
    10.1093/biomet/63.1.161) divided by their harmonic sample size, with its integral taken over the bins: the mean of
    (F_c - F_r)^2 / (H (1 - H)) over the edges, weighted by the rows of the two bins that meet there.
    """
    r, c = (counts / counts.sum(axis=-1, keepdims=True) for counts in (reference, current))
    pooled = (reference + current) / (reference + current).sum(axis=-1, keepdims=True)
    below = np.cumsum(pooled, axis=-1)[..., :-1]
    spread = below * (1 - below)
    weights = np.where(spread > 1e-12, (pooled[..., :-1] + pooled[..., 1:]) / 2 / np.maximum(spread, 1e-12), 0.0)
    gaps = np.cumsum(c - r, axis=-1)[..., :-1]
    return Gap(np.sqrt((weights * gaps**2).sum(axis=-1)), weights, below)


def shares_distance(reference: Values, current: Values) -> tuple[float, int]:
    """Compare two histograms over the same bins, in any order, each of shape (bins,), with rows in both of them.

    Returns:
        phi squared, which is chi-square of homogeneity by the harmonic sample size, and its degrees of freedom.
    """
    pooled = reference + current
    some = pooled > 0
    r, c = (counts[some] / counts.sum() for counts in (reference, current))
    return float(np.sum((c - r) ** 2 / (pooled[some] / pooled.sum()))), int(some.sum()) - 1


def dependence_degrees(reference: Values, current: Values) -> int:
    """Give the degrees of freedom of `dependence_statistic`: rows and columns that are empty in both count for none."""
    pooled = reference + current
    return (int((pooled.sum(axis=1) > 0).sum()) - 1) * (int((pooled.sum(axis=0) > 0).sum()) - 1)


def dependence_statistic(reference: Values, current: Values) -> float:
    """Likelihood ratio statistic G of "two quantities go together alike in both samples", of no unit, at least 0.

    It compares the two tables of counts, each of shape (first bins, second bins), with their best fit in which every
    odds ratio is the same in both samples (the log-linear model without three-way interaction; Bishop, Fienberg and
    Holland 1975, "Discrete Multivariate Analysis", chapter 3), which iterative proportional fitting finds. Changes of
    either quantity by itself do not enter it. Counts need not be whole.
    """
    tables = np.stack([reference, current])
    fitted = np.ones_like(tables)
    for _ in range(_ROUNDS):
        before = fitted
        for axis in range(3):
            wanted, has = tables.sum(axis=axis, keepdims=True), fitted.sum(axis=axis, keepdims=True)
            fitted = fitted * np.divide(wanted, has, out=np.zeros_like(wanted), where=has > 0)
        if np.abs(fitted - before).max() <= _TOLERANCE * tables.sum():
            break
    some = tables > 0
    return max(0.0, 2 * float(np.sum(tables[some] * np.log(tables[some] / fitted[some]))))


def harmonic_size(reference: npt.ArrayLike, current: npt.ArrayLike) -> Values:
    """Give the rows of one sample that know as much about a difference as two samples of these sizes."""
    m, n = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    size: Values = np.divide(m * n, m + n, out=np.zeros_like(m * n), where=m + n > 0)
    return size
