"""The one look at the test part: quality, money, slices, errors, importances."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import log_loss

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable, RowNumbers
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.metrics import Metrics, Probabilities, measure, measure_majority_rule
from plan_recommender.evaluation.money import BusinessImpact, measure_impact
from plan_recommender.evaluation.slices import (
    ConfidentError,
    SliceMetrics,
    measure_slices,
    most_confident_errors,
    tercile_bounds,
    worst_slices,
)
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.scorer import Scorer

_PERMUTATIONS = 30


class Importance(BaseModel):
    """How much the log loss grows when a feature's values are shuffled among the rows (Breiman 2001)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    mean: float
    low: float = Field(description="of the middle 95 % of the shuffles")
    high: float


class Analysis(BaseModel):
    """Everything that the one look at the test part found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    model: Metrics
    majority_rule: Metrics
    calibration: Calibration
    impact: BusinessImpact
    slices: list[SliceMetrics]
    worst_slices: list[SliceMetrics]
    confident_errors: list[ConfidentError]
    importances: list[Importance] = Field(description="largest first")


def analyse(
    test: LabelledTable,
    rows: RowNumbers,
    training: LabelledTable,
    scorer: Scorer,
    settings: Settings,
) -> tuple[Analysis, Probabilities]:
    """Look at the test part once.

    Args:
        test: the test part.
        rows: its row numbers in the table, from 1, shape (rows,).
        training: the training part, for the bounds of the segments and the majority plan.
        scorer: the compiled champion.
        settings: the configuration.

    Returns:
        What was found, and the probabilities of the test part, shape (rows,).
    """
    target, features = test.target, test.features
    probabilities = scorer.probabilities(features)
    decisions = scorer.decide(features, probabilities)
    slices = measure_slices(features, target, probabilities, decisions, tercile_bounds(training.features))
    found = Analysis(
        rows=len(target),
        model=measure(target, probabilities, decisions),
        majority_rule=measure_majority_rule(target, float(training.target.mean())),
        calibration=measure_calibration(target, probabilities, settings.calibration.bins, settings.seed),
        impact=measure_impact(target, probabilities, decisions, scorer.threshold.value, settings.money, settings.seed),
        slices=slices,
        worst_slices=worst_slices(slices, settings.slices.min_rows, settings.slices.worst),
        confident_errors=most_confident_errors(
            features, target, probabilities, decisions, rows, settings.slices.errors
        ),
        importances=_importances(scorer, test, settings.seed),
    )
    return found, probabilities


def _importances(scorer: Scorer, test: LabelledTable, seed: int) -> list[Importance]:
    """Shuffle each feature many times, and measure the served scorer each time."""
    rng = np.random.default_rng(seed)
    baseline = log_loss(test.target, scorer.probabilities(test.features))
    found = []
    for i, name in enumerate(FEATURE_NAMES):
        growth = np.empty(_PERMUTATIONS)
        for repeat in range(_PERMUTATIONS):
            shuffled = test.features.copy()
            shuffled[:, i] = rng.permutation(shuffled[:, i])
            growth[repeat] = log_loss(test.target, scorer.probabilities(shuffled)) - baseline
        low, high = np.quantile(growth, [0.025, 0.975]).tolist()
        found.append(Importance(feature=name, mean=float(growth.mean()), low=low, high=high))
    return sorted(found, key=lambda importance: -importance.mean)
