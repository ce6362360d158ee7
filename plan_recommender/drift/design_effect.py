"""Design effects: how many rows of a sample of subscribers say as much as one row of a stranger.

The months of one subscriber are alike, so that a hundred rows of ten subscribers tell less about a population than a
hundred rows of a hundred. The design effect is the variance of an estimate in such a sample, divided by its variance
if every row were of another subscriber (Kish 1965, "Survey Sampling"). It is 1 where a sample does not say whose a row
is.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.monitoring.layout import Codes

Subscribers = npt.NDArray[np.int64]
"""A number for the subscriber of each row, shape (rows,)."""


class DesignEffect(NamedTuple):
    """Of several estimates from one sample."""

    mean: float = 1.0
    """At least 1."""
    variation: float = 0.0
    """Squared coefficient of variation of the design effects of all combinations of the estimates."""


def of_quantity(codes: Codes, bins: int, subscribers: Subscribers | None) -> DesignEffect:
    """Give the design effect of the shares below each edge of the bins of a quantity.

    Args:
        codes: bin of each row, shape (rows,); -1 where the value is missing.
        bins: number of bins.
        subscribers: whose each row is; None: it is not known.
    """
    if subscribers is None:
        return DesignEffect()
    known = codes >= 0
    below = codes[known][:, None] <= np.arange(bins - 1)
    share = below.mean(axis=0) if len(below) else np.zeros(bins - 1)
    varies = (share > 0) & (share < 1)
    deviations = (below - share)[:, varies] / np.sqrt(share * (1 - share))[varies]
    return _effect_of(deviations, subscribers[known])


def of_dependence(first: Codes, second: Codes, shape: tuple[int, int], subscribers: Subscribers | None) -> DesignEffect:
    """Give the design effect of how two quantities go together.

    A row counts by the part of its pair of bins that neither quantity explains by itself: the functions of both that
    are orthogonal to every function of one of them.

    Args:
        first: bin of each row, shape (rows,); -1 where the value is missing.
        second: the same for the other quantity.
        shape: number of bins of each.
        subscribers: whose each row is; None: it is not known.
    """
    if subscribers is None:
        return DesignEffect()
    known = (first >= 0) & (second >= 0)
    cells = first[known] * shape[1] + second[known]
    share = np.bincount(cells, minlength=shape[0] * shape[1]) / max(1, len(cells))
    occupied = np.flatnonzero(share)
    root = np.sqrt(share[occupied])
    single = np.concatenate(
        [np.eye(shape[0])[occupied // shape[1]], np.eye(shape[1])[occupied % shape[1]]], axis=1
    )  # indicators of the bins of one quantity, for each occupied pair of bins
    basis, values, _ = np.linalg.svd(root[:, None] * single, full_matrices=True)
    functions = basis[:, int(np.sum(values > 1e-9)) :] / root[:, None]
    place = np.full(len(share), -1)
    place[occupied] = np.arange(len(occupied))
    return _effect_of(functions[place[cells]], subscribers[known])


def _effect_of(functions: npt.NDArray[np.float64], subscribers: Subscribers) -> DesignEffect:
    """Compare variances of means of functions of rows, shape (rows, functions), which have mean 0 and variance 1."""
    if not functions.size:
        return DesignEffect()
    of_row = np.unique(subscribers, return_inverse=True)[1]
    sums = np.zeros((int(of_row.max()) + 1, functions.shape[1]))
    np.add.at(sums, of_row, functions)
    effects = sums.T @ sums / len(functions)  # their eigenvalues are the design effects of combinations
    mean = float(np.trace(effects)) / len(effects)
    variation = float(np.sum(effects**2)) / len(effects) / mean**2 - 1
    return DesignEffect(max(1.0, mean), max(0.0, variation))
