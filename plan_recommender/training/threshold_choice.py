"""From which probability Ultra is recommended: a configured number, or the best for an objective on training folds."""

import numpy as np

from plan_recommender.config.settings import Objective, SegmentThresholdsSettings, Settings
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.evaluation.money import expected_profit
from plan_recommender.evaluation.slices import tercile_bounds
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.threshold import SEGMENTS, SegmentThresholds, Threshold, segment_of

THRESHOLDS = np.arange(101) / 100
"""Among which a threshold is chosen; a finer grid would follow the noise."""


DEFAULT_THRESHOLD = 0.5


def fold_threshold(settings: Settings) -> float:
    """Tell from which probability on folds are answered with Ultra: one that is yet to be chosen counts as 0.5."""
    return settings.threshold if isinstance(settings.threshold, float) else DEFAULT_THRESHOLD


def choose_threshold(
    features: FeatureMatrix, target: Labels, out_of_fold: Probabilities, settings: Settings
) -> Threshold:
    """Settle the threshold: the configured number, or the best for the configured objective on the training folds.

    Args:
        features: of the training part, shape (rows, 4).
        target: of the training part, shape (rows,).
        out_of_fold: probabilities of the champion, shape (repeats, rows).
        settings: whose `threshold` and `threshold_segments` say what is wanted.
    """
    wanted, feature = settings.threshold, settings.threshold_segments
    repeats = len(out_of_fold)
    bounds = None if feature == "none" else tercile_bounds(features)[feature]
    if isinstance(wanted, float):
        return Threshold(value=wanted)
    if isinstance(wanted, SegmentThresholdsSettings):
        numbers = (wanted.light, wanted.medium, wanted.heavy)
        return Threshold(value=wanted.medium, segments=_segments(feature, bounds, numbers))
    everybody = _best_threshold(np.tile(target, repeats), out_of_fold.ravel(), wanted, settings)
    if bounds is None:
        return Threshold(value=everybody, objective=wanted)
    segment = segment_of(features, feature, bounds)
    light, medium, heavy = (
        _best_threshold(np.tile(target[rows], repeats), out_of_fold[:, rows].ravel(), wanted, settings)
        if (rows := segment == i).any()
        else everybody
        for i in range(len(SEGMENTS))
    )
    return Threshold(value=everybody, objective=wanted, segments=_segments(feature, bounds, (light, medium, heavy)))


def _best_threshold(target: Labels, probabilities: Probabilities, objective: Objective, settings: Settings) -> float:
    """Find the threshold with the highest value of the objective.

    Of equally good ones it is the nearest to 0.5; but 1, which contacts nobody, when no contact pays.
    """
    values = [_value(target, (probabilities >= t).astype(np.int64), objective, settings) for t in THRESHOLDS]
    best = np.flatnonzero(np.isclose(values, np.max(values), rtol=0, atol=1e-12))
    if objective == "expected_profit" and values[best[0]] <= 0:
        return float(THRESHOLDS[-1])
    return float(THRESHOLDS[best[np.argmin(np.abs(THRESHOLDS[best] - DEFAULT_THRESHOLD))]])


def _value(target: Labels, decisions: Labels, objective: Objective, settings: Settings) -> float:
    if objective == "expected_profit":
        return expected_profit(target, decisions, settings.money)
    if objective == "accuracy":
        return float(np.mean(target == decisions))
    hits = int(np.sum(target & decisions))
    return 2 * hits / max(int(target.sum() + decisions.sum()), 1)


def _segments(
    feature: str, bounds: tuple[float, float] | None, thresholds: tuple[float, float, float]
) -> SegmentThresholds:
    wanted = {"feature": feature, "bounds": list(bounds or ()), "thresholds": list(thresholds)}
    return SegmentThresholds.model_validate(wanted)
