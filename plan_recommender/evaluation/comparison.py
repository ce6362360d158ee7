"""Two models on the same rows: what the second is better or worse by, and how sure that is."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import Metric
from plan_recommender.evaluation.metrics import Labels, Probabilities, measure

COMPARED: tuple[Metric, ...] = ("accuracy", "f1", "roc_auc", "brier", "log_loss")
"""The metrics that are compared, in the order of the report."""

_BATCH_CELLS = 4_000_000
"""Weights held at once, so that a large table does not need resamples times rows of memory."""

_Values = npt.NDArray[np.float64]


class MetricDifference(BaseModel):
    """One metric of both models, and the percentile bootstrap interval of the difference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: float
    second: float
    difference: Annotated[float, Field(description="second less first")]
    low: float
    high: float


class PairedComparison(BaseModel):
    """Two models measured on the same rows; each metric is as `evaluation.Metrics` describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    samples: Annotated[int, Field(description="resamples behind the intervals")]
    confidence: Annotated[float, Field(description="share of the resamples that an interval covers")]
    accuracy: MetricDifference
    f1: MetricDifference
    roc_auc: MetricDifference
    brier: MetricDifference
    log_loss: MetricDifference


def compare_paired(
    target: Labels,
    first: tuple[Probabilities, Labels],
    second: tuple[Probabilities, Labels],
    samples: int,
    confidence: float,
    seed: int,
) -> PairedComparison:
    """Compare two models by the paired bootstrap: every resample of the rows measures both.

    What makes a row hard is hard for both models, so that the difference is known better than either metric. The
    intervals are percentile intervals (Efron & Tibshirani 1993, chapter 13); a resample in which one label only occurs
    has no AUC and is drawn again.

    Args:
        target: labels, both of which occur, shape (rows,).
        first: the first model's probabilities of Ultra and its decisions, each of shape (rows,).
        second: the same of the second model.
        samples: resamples.
        confidence: share of the resamples (0 to 1) that an interval covers.
        seed: draws the resamples.
    """
    models = [_Model(target, *answers) for answers in (first, second)]
    differences = np.concatenate(
        [models[1].metrics(weights) - models[0].metrics(weights) for weights in _resamples(target, samples, seed)]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail], axis=0)
    before, after = (measure(target, *answers) for answers in (first, second))
    found = {}
    for k, name in enumerate(COMPARED):
        one, other = float(getattr(before, name)), float(getattr(after, name))
        found[name] = MetricDifference(
            first=one, second=other, difference=other - one, low=float(low[k]), high=float(high[k])
        )
    return PairedComparison(rows=len(target), samples=samples, confidence=confidence, **found)


def weighted_auc(target: Labels, probabilities: Probabilities, weights: _Values) -> _Values:
    """AUC of each of many weightings of the same rows, ties counted half (Mann & Whitney 1947).

    Args:
        target: labels, shape (rows,).
        probabilities: of Ultra, shape (rows,).
        weights: not negative, and not all zero for either label, shape (weightings, rows).

    Returns:
        The chance that an Ultra row is ranked above a Smart one, shape (weightings,).
    """
    order = np.argsort(probabilities, kind="stable")
    ranked = probabilities[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] > ranked[:-1]]))  # of each run of equal probabilities
    is_ultra = target[order] == 1
    ranked_weights = weights[:, order]
    ultra = np.add.reduceat(ranked_weights * is_ultra, starts, axis=1)
    smart = np.add.reduceat(ranked_weights * ~is_ultra, starts, axis=1)
    below = np.cumsum(smart, axis=1) - smart
    wins = np.sum(ultra * (below + smart / 2), axis=1)
    auc: _Values = wins / (ultra.sum(axis=1) * smart.sum(axis=1))
    return auc


class _Model:
    """One model's answers, ready to be measured under many weightings of the rows."""

    def __init__(self, target: Labels, probabilities: Probabilities, decisions: Labels) -> None:
        self._target = target
        self._probabilities = probabilities
        smallest = np.finfo(np.float64).eps  # scikit-learn's log_loss does the same
        likelihood = np.clip(np.where(target == 1, probabilities, 1 - probabilities), smallest, 1 - smallest)
        self._by_row = np.column_stack(
            [
                target == decisions,
                target & decisions,
                target + decisions,
                (probabilities - target) ** 2,
                -np.log(likelihood),
            ]
        ).astype(np.float64)

    def metrics(self, weights: _Values) -> _Values:
        """Metrics in the order of `COMPARED`, shape (weightings, metrics)."""
        right, found, positives, squares, losses = (weights @ self._by_row).T
        total = weights.sum(axis=1)
        auc = weighted_auc(self._target, self._probabilities, weights)
        return np.column_stack([right / total, 2 * found / positives, auc, squares / total, losses / total])


def _resamples(target: Labels, samples: int, seed: int) -> Iterator[_Values]:
    """Yield how often each row occurs in each resample, shape (some resamples, rows); `samples` in all."""
    rng = np.random.default_rng(seed)
    rows = len(target)
    wanted = samples
    while wanted:
        count = min(wanted, max(1, _BATCH_CELLS // rows))
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=count).astype(np.float64)
        ultra = weights @ target
        both = weights[(ultra > 0) & (ultra < rows)]
        wanted -= len(both)
        yield both
