"""The one evaluation on the test part: quality, calibration, money, slices, errors and importances.

Training does it once, after everything has been chosen, so that the test part influences no choice.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from plan_recommender.config.settings import Metric, Settings
from plan_recommender.data.csv_table import LabelledTable, RowNumbers
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.comparison import MetricInterval, metric_intervals
from plan_recommender.evaluation.metrics import Metrics, Probabilities, log_losses, measure, measure_majority_rule
from plan_recommender.evaluation.money import BusinessImpact, measure_impact, plans_held
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

_PERMUTATIONS = 30  # of each feature


class Importance(BaseModel):
    """Permutation importance (Breiman 2001): how much the log loss grows when a feature is shuffled among the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    mean: float = Field(description="over the shuffles, in nats")
    low: float = Field(description="lower end of the middle 95 % of the shuffles")
    high: float = Field(description="upper end of the middle 95 % of the shuffles")


class HeldOutResults(BaseModel):
    """Everything that was measured on the test part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    subscribers: int | None = Field(description="whose rows they are; None: the table does not say")
    model: Metrics
    intervals: dict[Metric, MetricInterval] = Field(description="of the model's metrics, by subscriber where known")
    majority_rule: Metrics
    calibration: Calibration
    impact: BusinessImpact | None = Field(description="None: no column says which plan a subscriber holds")
    slices: list[SliceMetrics]
    worst_slices: list[SliceMetrics]
    confident_errors: list[ConfidentError]
    importances: list[Importance] = Field(description="largest first")


def evaluate_held_out(
    test: LabelledTable,
    rows: RowNumbers,
    training: LabelledTable,
    scorer: Scorer,
    settings: Settings,
) -> tuple[HeldOutResults, Probabilities]:
    """Measure the compiled champion on the test part.

    Args:
        test: the test part.
        rows: positions of its rows in the whole table, from 0, shape (rows,).
        training: the training part, which gives the bounds of the segments and the majority plan.
        scorer: the compiled champion.
        settings: the configuration.

    Returns:
        The results, and the probabilities of the test part, shape (rows,).

    Raises:
        TableError: a feature has no values in the training part.
    """
    target, features = test.target, test.features
    probabilities = scorer.probabilities(features)
    decisions = scorer.decide(features, probabilities)
    slices = measure_slices(
        features, target, probabilities, decisions, tercile_bounds(training.features), test.subscribers
    )
    held = plans_held(test, settings.money)
    results = HeldOutResults(
        rows=len(target),
        subscribers=None if test.subscribers is None else len(np.unique(test.subscribers)),
        intervals=metric_intervals(
            target, probabilities, decisions, settings.comparison, settings.seed, test.subscribers
        ),
        model=measure(target, probabilities, decisions),
        majority_rule=measure_majority_rule(target, float(training.target.mean())),
        calibration=measure_calibration(
            target, probabilities, settings.calibration.bins, settings.seed, subscribers=test.subscribers
        ),
        impact=None
        if held is None
        else measure_impact(
            probabilities,
            decisions,
            held,
            scorer.threshold.value,
            settings.money,
            settings.seed,
            test.subscribers,
        ),
        slices=slices,
        worst_slices=worst_slices(slices, settings.slices.min_rows, settings.slices.worst),
        confident_errors=most_confident_errors(
            features, target, probabilities, decisions, rows + 1, settings.slices.errors
        ),
        importances=_importances(scorer, test, settings.seed),
    )
    return results, probabilities


def _importances(scorer: Scorer, test: LabelledTable, seed: int) -> list[Importance]:
    """Measure the scorer on the rows as they are, and then with each feature shuffled `_PERMUTATIONS` times."""
    rng = np.random.default_rng(seed)
    baseline = log_losses(test.target, scorer.probabilities(test.features)).mean()
    found = []
    for i, name in enumerate(FEATURE_NAMES):
        growth = np.empty(_PERMUTATIONS)
        for repeat in range(_PERMUTATIONS):
            shuffled = test.features.copy()
            shuffled[:, i] = rng.permutation(shuffled[:, i])
            growth[repeat] = log_losses(test.target, scorer.probabilities(shuffled)).mean() - baseline
        low, high = np.quantile(growth, [0.025, 0.975]).tolist()
        found.append(Importance(feature=name, mean=float(growth.mean()), low=low, high=high))
    return sorted(found, key=lambda importance: -importance.mean)
