"""Intervals of the metrics of a model, and of the differences between two models on the same rows."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import ComparisonSettings, Metric
from plan_recommender.data.csv_table import RowNumbers
from plan_recommender.data.subscribers import Subscribers
from plan_recommender.evaluation.metrics import Labels, Probabilities, log_losses, measure

COMPARED: tuple[Metric, ...] = ("accuracy", "f1", "roc_auc", "brier", "log_loss")
"""The metrics that are compared, in the order of the report."""

_BATCH_CELLS = 4_000_000
"""Number of weights in memory at once; all resamples of a large table together would not fit."""

_Values = npt.NDArray[np.float64]


class MetricInterval(BaseModel):
    """A percentile bootstrap interval of a metric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float


class MetricDifference(BaseModel):
    """One metric of both models, and the percentile bootstrap interval (low to high) of the difference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: float
    second: float
    difference: Annotated[float, Field(description="second less first")]
    low: float
    high: float


class PairedComparison(BaseModel):
    """Two models measured on the same rows; `metrics.Metrics` describes each metric."""

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
    subscribers: RowNumbers | None = None,
) -> PairedComparison:
    """Compare two models by the paired bootstrap: both are measured on the same resamples of the subscribers.

    A row that is hard for one model tends to be hard for the other, so that the difference is known better than either
    metric. The intervals are percentile intervals (Efron & Tibshirani 1993, "An introduction to the bootstrap", chapter
    13). A resample with only one label has no AUC and is drawn again.

    Args:
        target: labels, both of which occur, shape (rows,).
        first: the first model's probabilities of Ultra and its decisions, each of shape (rows,).
        second: the same of the second model.
        samples: number of resamples.
        confidence: share of the resamples (0 to 1) that an interval covers.
        seed: draws the resamples.
        subscribers: a number for the subscriber of each row, shape (rows,); None: every row is one of its own.
    """
    models = [_Model(target, *answers) for answers in (first, second)]
    differences = np.concatenate(
        [
            models[1].metrics(weights) - models[0].metrics(weights)
            for weights in _resamples(target, samples, seed, subscribers)
        ]
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


def metric_intervals(
    target: Labels,
    probabilities: Probabilities,
    decisions: Labels,
    settings: ComparisonSettings,
    seed: int,
    subscribers: RowNumbers | None = None,
) -> dict[Metric, MetricInterval]:
    """Compute percentile bootstrap intervals of the metrics of one model; arguments are as in `compare_paired`."""
    model = _Model(target, probabilities, decisions)
    resamples = _resamples(target, settings.bootstrap_samples, seed, subscribers)
    metrics = np.concatenate([model.metrics(weights) for weights in resamples])
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(metrics, [tail, 1 - tail], axis=0).tolist()
    return {name: MetricInterval(low=low[k], high=high[k]) for k, name in enumerate(COMPARED)}


def mean_interval(
    values: _Values, subscribers: npt.NDArray[np.generic], settings: ComparisonSettings, seed: int
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean over rows, low and high; subscribers are drawn, not rows.

    Args:
        values: shape (rows,).
        subscribers: anything that tells them apart, shape (rows,).
        settings: the number of resamples and the confidence.
        seed: draws the resamples.
    """
    _, owner = np.unique(subscribers, return_inverse=True)
    sums, rows = np.bincount(owner, weights=values), np.bincount(owner)
    rng = np.random.default_rng(seed)
    means = np.empty(settings.bootstrap_samples)
    for i in range(settings.bootstrap_samples):
        drawn = rng.integers(len(rows), size=len(rows))
        means[i] = sums[drawn].sum() / rows[drawn].sum()
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    return low, high


def weighted_auc(target: Labels, probabilities: Probabilities, weights: _Values) -> _Values:
    """Compute the AUC under many weightings of the same rows at once (Mann & Whitney 1947).

    Args:
        target: labels, shape (rows,).
        probabilities: of Ultra, shape (rows,).
        weights: shape (weightings, rows), at least 0, and with a positive sum for each label.

    Returns:
        The chance that an Ultra row has a higher probability than a Smart row, ties counted half; shape (weightings,).
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
    """The answers of one model, prepared for being measured under many weightings of the rows."""

    def __init__(self, target: Labels, probabilities: Probabilities, decisions: Labels) -> None:
        self._target = target
        self._probabilities = probabilities
        self._by_row = np.column_stack(
            [
                target == decisions,
                target & decisions,
                target + decisions,
                (probabilities - target) ** 2,
                log_losses(target, probabilities),
            ]
        ).astype(np.float64)

    def metrics(self, weights: _Values) -> _Values:
        """Measure under weightings of shape (weightings, rows); returns shape (weightings, `COMPARED`)."""
        right, found, positives, squares, losses = (weights @ self._by_row).T
        total = weights.sum(axis=1)
        auc = weighted_auc(self._target, self._probabilities, weights)
        return np.column_stack([right / total, 2 * found / positives, auc, squares / total, losses / total])


def _resamples(target: Labels, samples: int, seed: int, subscribers: RowNumbers | None) -> Iterator[_Values]:
    """Draw subscribers, and yield how often their rows occur, shape (some resamples, rows), until there were `samples`.

    A resample with one label only is left out.
    """
    rng = np.random.default_rng(seed)
    everybody = Subscribers(subscribers, target)
    units = len(everybody.labels)
    wanted = samples
    while wanted:
        count = min(wanted, max(1, _BATCH_CELLS // len(target)))
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=count).astype(np.float64)
        weights = drawn if subscribers is None else drawn[:, everybody.of_row]
        ultra = weights @ target
        both = weights[(ultra > 0) & (ultra < weights.sum(axis=1))]
        wanted -= len(both)
        yield both
