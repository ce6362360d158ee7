"""What is found out about a champion on its test part: money, slices, errors, importances."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats
from sklearn.metrics import log_loss

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.metrics import Labels, Metrics, Probabilities, measure, measure_majority_rule
from plan_recommender.evaluation.money import BusinessImpact, measure_impact
from plan_recommender.evaluation.slices import (
    ConfidentError,
    SliceMetrics,
    measure_slices,
    most_confident_errors,
    tercile_bounds,
    worst_slices,
)
from plan_recommender.model.features import FEATURE_NAMES, FEATURES
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.threshold import Threshold
from plan_recommender.training.gate import GateReport
from plan_recommender.training.selection import CandidateSummary

Column = npt.NDArray[np.float64]

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


class ColumnFacts(BaseModel):
    """What one feature column of a table holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str
    description: str
    empty: int
    zero_share: float
    quantiles: list[float] = Field(description="least, 5 %, median, 95 %, most")
    median_smart: float
    median_ultra: float


class DataFacts(BaseModel):
    """What a table holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ultra_share: float
    columns: list[ColumnFacts]
    calls_minutes_correlation: float | None = Field(
        description="rank correlation, over rows that have both; None when one of them is constant"
    )
    repeated_rows: int = Field(description="rows beyond the first of their kind, label included")


class Findings(BaseModel):
    """All that a training run found out; the same for the same data and seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: Candidate
    candidates: list[CandidateSummary]
    threshold: Threshold
    calibration: Calibration = Field(description="of the out-of-fold probabilities of the training part")
    gate: GateReport
    test: Analysis
    data: DataFacts


def describe(table: LabelledTable) -> DataFacts:
    """Describe a whole table, for its data card."""
    smart, ultra = (np.nanmedian(table.features[table.target == label], axis=0) for label in (0, 1))
    both = ~np.isnan(table.features[:, :2]).any(axis=1)
    rows = np.column_stack([table.features, table.target])
    return DataFacts(
        ultra_share=float(table.target.mean()),
        columns=[
            ColumnFacts(
                name=feature.name,
                unit=feature.unit,
                description=feature.description,
                empty=int(np.isnan(column).sum()),
                zero_share=float(np.mean(column == 0)),
                quantiles=np.nanquantile(column, [0, 0.05, 0.5, 0.95, 1]).tolist(),
                median_smart=float(smart[i]),
                median_ultra=float(ultra[i]),
            )
            for i, feature in enumerate(FEATURES)
            for column in [table.features[:, i]]
        ],
        calls_minutes_correlation=_rank_correlation(*table.features[both, :2].T),
        repeated_rows=len(rows) - len(np.unique(rows, axis=0)),
    )


def _rank_correlation(first: Column, second: Column) -> float | None:
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return None
    return float(stats.spearmanr(first, second).statistic)


def analyse(
    test: LabelledTable,
    rows: Labels,
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
