"""The threshold: the probability of Ultra from which Ultra is recommended.

It is a configured number, or the one that is best for a configured objective on the out-of-fold probabilities of the
training part; and it is one for everybody, or one for each segment of subscribers. The test part has no say in it.
"""

from typing import Literal

import numpy as np

from plan_recommender.config.settings import Objective, SegmentThresholdsSettings, Settings
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.money import break_even_probability
from plan_recommender.evaluation.slices import tercile_bounds
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.threshold import SEGMENTS, SegmentThresholds, Threshold, segment_of

THRESHOLDS = np.arange(101) / 100
"""The thresholds that are tried; a finer grid would follow the noise."""

DEFAULT_THRESHOLD = 0.5


def fold_threshold(settings: Settings) -> float:
    """Threshold at which accuracy and F1 are measured on folds: the configured number; 0.5 unless it is one number."""
    return settings.threshold if isinstance(settings.threshold, float) else DEFAULT_THRESHOLD


def choose_threshold(
    features: FeatureMatrix, target: Labels, out_of_fold: Probabilities, settings: Settings
) -> Threshold:
    """Settle the threshold as `settings.threshold` and `settings.threshold_segments` ask for.

    Segments are light, medium and heavy users: the thirds of these rows by one feature, split at its terciles. A
    segment without rows gets the threshold that is best for everybody.

    Args:
        features: of the training rows, shape (rows, 4), NaN where a value is missing.
        target: of the training rows, shape (rows,).
        out_of_fold: probabilities of the champion, shape (repeats, rows).
        settings: the configuration.

    Raises:
        TableError: the feature that makes the segments has no values.
    """
    wanted, feature = settings.threshold, settings.threshold_segments
    if isinstance(wanted, float):
        return Threshold(value=wanted)
    if isinstance(wanted, SegmentThresholdsSettings):
        bounds = tercile_bounds(features)[feature]
        segments = _segments(feature, bounds, [wanted.light, wanted.medium, wanted.heavy])
        return Threshold(value=wanted.medium, segments=segments)
    everybody = _best_threshold(target, out_of_fold, wanted, settings)
    if feature == "none":
        return Threshold(value=everybody, objective=wanted)
    bounds = tercile_bounds(features)[feature]
    segment = segment_of(features, feature, bounds)
    thresholds = []
    for i in range(len(SEGMENTS)):
        rows = segment == i
        if rows.any():
            thresholds.append(_best_threshold(target[rows], out_of_fold[:, rows], wanted, settings))
        else:
            thresholds.append(everybody)
    return Threshold(value=everybody, objective=wanted, segments=_segments(feature, bounds, thresholds))


def _best_threshold(target: Labels, out_of_fold: Probabilities, objective: Objective, settings: Settings) -> float:
    """Find the threshold with the highest value of the objective, for labels (rows,) and probabilities (repeats, rows).

    Of equally good ones it is the nearest to 0.5. The expected profit depends on the probability alone, so that the
    threshold is the probability at which a contact breaks even.
    """
    if objective == "expected_profit":
        return break_even_probability(settings.money)
    labels, probabilities = np.tile(target, len(out_of_fold)), out_of_fold.ravel()
    values = [_value(labels, (probabilities >= t).astype(np.int64), objective) for t in THRESHOLDS]
    best = np.flatnonzero(np.isclose(values, np.max(values), rtol=0, atol=1e-12))
    return float(THRESHOLDS[best[np.argmin(np.abs(THRESHOLDS[best] - DEFAULT_THRESHOLD))]])


def _value(labels: Labels, decisions: Labels, objective: Literal["f1", "accuracy"]) -> float:
    if objective == "accuracy":
        return float(np.mean(labels == decisions))
    true_positives = int(np.sum(labels & decisions))
    return 2 * true_positives / max(int(labels.sum() + decisions.sum()), 1)


def _segments(feature: str, bounds: tuple[float, float], thresholds: list[float]) -> SegmentThresholds:
    return SegmentThresholds.model_validate({"feature": feature, "bounds": list(bounds), "thresholds": thresholds})
