"""Where the model is weak: its quality in segments of each feature, and its most confident errors."""

import math
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from plan_recommender.data.csv_table import RowNumbers
from plan_recommender.errors import TableError
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

Segment = Literal["zero", "light", "medium", "heavy", "missing"]
"""Rows of a feature below the first bound are light, from the second bound on heavy, and medium between them.

Zero rows have the value 0, and also belong to one of these three. Missing rows have no value and belong to none.
"""

Bounds = dict[str, tuple[float, float]]
"""For each feature, the smallest medium and the smallest heavy usage, in the feature's unit."""

_CONFIDENCE = 0.95


class SliceMetrics(BaseModel):
    """Quality in one segment of one feature; a metric is None where the segment has no rows to measure it on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    segment: Segment
    rows: int
    ultra_share: Annotated[float, Field(description="share of rows on Ultra")]
    recommended_share: Annotated[float, Field(description="share of rows recommended Ultra")]
    accuracy: float
    precision: Annotated[float | None, Field(description="None where Ultra is never recommended")]
    recall: Annotated[float | None, Field(description="None where nobody is on Ultra")]
    f1: Annotated[float | None, Field(description="None where nobody is on Ultra or recommended it")]
    roc_auc: Annotated[float | None, Field(description="None where one label only occurs")]
    brier: float
    mean_probability: float
    accuracy_low: Annotated[float, Field(description="lower end of the 95% Wilson interval of the accuracy")]
    accuracy_high: Annotated[float, Field(description="upper end of the 95% Wilson interval of the accuracy")]
    majority_accuracy: Annotated[float, Field(description="accuracy of always answering Smart here")]


class ConfidentError(BaseModel):
    """A row that the model answered wrongly; usage is None where it is missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: Annotated[int, Field(description="number of the row in the table, from 1 after the header")]
    kind: Literal["false positive", "false negative"]
    probability: Annotated[float, Field(description="of Ultra")]
    calls: float | None
    minutes: float | None
    messages: float | None
    mb_used: float | None


def tercile_bounds(features: FeatureMatrix) -> Bounds:
    """Give the terciles of each feature, missing values left out.

    Take them from the training part, so that a segment means the same usage on all other rows.

    Raises:
        TableError: a feature has no values.
    """
    for name, column in zip(FEATURE_NAMES, features.T, strict=True):
        if np.isnan(column).all():
            raise TableError(f"feature {name!r}: expected values to cut into segments, found only empty cells")
    first, second = np.nanquantile(features, [1 / 3, 2 / 3], axis=0).tolist()
    return dict(zip(FEATURE_NAMES, zip(first, second, strict=True), strict=True))


def measure_slices(
    features: FeatureMatrix,
    target: Labels,
    probabilities: Probabilities,
    decisions: Labels,
    bounds: Bounds,
    subscribers: RowNumbers | None = None,
) -> list[SliceMetrics]:
    """Measure every segment that has rows, in the order of the features and of `Segment`.

    The interval of the accuracy is that of Wilson (1927, "Probable inference, the law of succession, and statistical
    inference"), which is valid for small segments too. Where rows of one subscriber are right or wrong together, it
    counts the rows by which independent ones would be known as well (Korn & Graubard 1998, "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data").

    Args:
        features: usage, shape (rows, 4), NaN where a value is missing.
        target: labels, shape (rows,).
        probabilities: of Ultra, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,).
        bounds: of every feature, from `tercile_bounds`.
        subscribers: a number for the subscriber of each row, shape (rows,); None: every row is one of its own.
    """
    owners = np.arange(len(target)) if subscribers is None else subscribers
    slices = []
    for name, column in zip(FEATURE_NAMES, features.T, strict=True):
        for segment, members in _segments(column, *bounds[name]).items():
            if members.any():
                part = (target[members], probabilities[members], decisions[members], owners[members])
                slices.append(_measure(name, segment, *part))
    return slices


def worst_slices(slices: list[SliceMetrics], min_rows: int, count: int) -> list[SliceMetrics]:
    """Pick the `count` slices with the lowest accuracy, the lowest first, among those of at least `min_rows` rows."""
    return sorted((s for s in slices if s.rows >= min_rows), key=lambda s: s.accuracy)[:count]


def most_confident_errors(
    features: FeatureMatrix,
    target: Labels,
    probabilities: Probabilities,
    decisions: Labels,
    rows: npt.NDArray[np.int64],
    count: int,
) -> list[ConfidentError]:
    """List the false positives with the highest probability and the false negatives with the lowest, `count` at most.

    Args:
        features: usage, shape (rows, 4), NaN where a value is missing.
        target: labels, shape (rows,).
        probabilities: of Ultra, shape (rows,).
        decisions: 1 where Ultra is recommended, shape (rows,).
        rows: numbers of the rows in the table, from 1, shape (rows,).
        count: maximum of errors of each kind.
    """
    positives = np.flatnonzero((decisions == 1) & (target == 0))
    negatives = np.flatnonzero((decisions == 0) & (target == 1))
    positives = positives[np.argsort(-probabilities[positives], kind="stable")][:count]
    negatives = negatives[np.argsort(probabilities[negatives], kind="stable")][:count]
    return [
        *(_error("false positive", features[i], float(probabilities[i]), int(rows[i])) for i in positives),
        *(_error("false negative", features[i], float(probabilities[i]), int(rows[i])) for i in negatives),
    ]


def _segments(column: npt.NDArray[np.float64], first: float, second: float) -> dict[Segment, npt.NDArray[np.bool_]]:
    return {
        "zero": column == 0,
        "light": column < first,
        "medium": (column >= first) & (column < second),
        "heavy": column >= second,
        "missing": np.isnan(column),
    }


def _measure(
    feature: str,
    segment: Segment,
    target: Labels,
    probabilities: Probabilities,
    decisions: Labels,
    owners: RowNumbers,
) -> SliceMetrics:
    rows, ultra, recommended = len(target), int(target.sum()), int(decisions.sum())
    right, found = int(np.sum(target == decisions)), int(np.sum(target & decisions))
    low, high = wilson(right / rows, rows / _design_effect(target == decisions, owners))
    return SliceMetrics(
        feature=feature,
        segment=segment,
        rows=rows,
        ultra_share=ultra / rows,
        recommended_share=recommended / rows,
        accuracy=right / rows,
        precision=found / recommended if recommended else None,
        recall=found / ultra if ultra else None,
        f1=2 * found / (ultra + recommended) if ultra + recommended else None,
        roc_auc=float(roc_auc_score(target, probabilities)) if 0 < ultra < rows else None,
        brier=float(np.mean((probabilities - target) ** 2)),
        mean_probability=float(probabilities.mean()),
        accuracy_low=low,
        accuracy_high=high,
        majority_accuracy=(rows - ultra) / rows,
    )


def wilson(share: float, rows: float, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Give the score interval of a share of so many independent rows (Wilson 1927): low and high."""
    z = float(norm.ppf((1 + confidence) / 2))
    middle = share + z**2 / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return max(0.0, (middle - half) / (1 + z**2 / rows)), min(1.0, (middle + half) / (1 + z**2 / rows))


def _design_effect(right: npt.NDArray[np.bool_], owners: RowNumbers) -> float:
    """How many times larger the variance of a share is than with independent rows (Kish 1965), at least 1."""
    share, rows = float(right.mean()), len(right)
    if share in (0.0, 1.0):
        return 1.0
    _, owner = np.unique(owners, return_inverse=True)
    variance = float(np.sum(np.bincount(owner, weights=right - share) ** 2)) / rows**2
    return max(1.0, variance * rows / (share * (1 - share)))


def _error(
    kind: Literal["false positive", "false negative"],
    usage: npt.NDArray[np.float64],
    probability: float,
    row: int,
) -> ConfidentError:
    calls, minutes, messages, mb_used = (None if np.isnan(value) else float(value) for value in usage)
    return ConfidentError(
        row=row, kind=kind, probability=probability, calls=calls, minutes=minutes, messages=messages, mb_used=mb_used
    )
