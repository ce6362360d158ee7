"""Which rows train and which test, which candidate is the champion, and from which probability it recommends Ultra."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy import stats
from sklearn.model_selection import RepeatedStratifiedKFold

from plan_recommender.config.settings import BASELINES, Candidate, Metric, Settings
from plan_recommender.data.csv_table import RowNumbers
from plan_recommender.errors import TableError
from plan_recommender.evaluation.calibration import Calibration, measure_calibration
from plan_recommender.evaluation.comparison import COMPARED
from plan_recommender.evaluation.metrics import Labels, Metrics, Probabilities, measure
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.training.candidates import fit
from plan_recommender.training.candidates import probabilities as probabilities_of
from plan_recommender.training.threshold_choice import fold_threshold

Fold = tuple[RowNumbers, RowNumbers]
"""The rows to fit on, and the rows to validate on."""

LESS_IS_BETTER: frozenset[Metric] = frozenset({"brier", "log_loss"})


class Interval(BaseModel):
    """A mean over the folds, and its confidence interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    low: float
    high: float


class CandidateSummary(BaseModel):
    """One row of the table of candidates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: Candidate
    metrics: dict[Metric, Interval]
    behind_best: float = Field(
        description="how much worse than the best by the configured metric, mean over folds; a baseline may be better"
    )
    standard_error: float = Field(description="of `behind_best`")
    champion: bool


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation found of one candidate."""

    candidate: Candidate
    folds: list[Metrics]
    probabilities: Probabilities  # out of fold, shape (repeats, rows)
    fit_seconds: list[float]

    def scores(self, metric: Metric) -> npt.NDArray[np.float64]:
        """The metric on every fold, shape (repeats * folds,)."""
        return np.array([getattr(fold, metric) for fold in self.folds])


def cross_validate(
    features: FeatureMatrix, target: Labels, settings: Settings, fitted: Callable[[], object] = lambda: None
) -> list[CrossValidated]:
    """Measure every candidate on the same folds, in the order of the configuration; calls `fitted` after each fit.

    Raises:
        TableError: there are fewer rows of a label than folds.
        ConfigError: a candidate cannot be fitted.
    """
    selection = settings.selection
    folds = make_folds(target, selection.folds, selection.repeats, settings.seed)
    return [cross_validate_one(name, features, target, folds, settings, fitted) for name in selection.candidates]


def make_folds(target: Labels, folds: int, repeats: int, seed: int) -> list[Fold]:
    """Divide rows into folds, stratified by the label, as often as is wanted, each time otherwise.

    Raises:
        TableError: there are fewer rows of a label than folds.
    """
    rarest = int(min(target.sum(), len(target) - target.sum()))
    if rarest < folds:
        raise TableError(
            f"expected at least {folds} training rows of each plan for {folds} folds, found "
            f"{rarest} of the rarer one; bring a larger table, or lower selection.folds"
        )
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    return list(splitter.split(target, target))


def cross_validate_one(
    candidate: Candidate,
    features: FeatureMatrix,
    target: Labels,
    folds: Sequence[Fold],
    settings: Settings,
    fitted: Callable[[], object] = lambda: None,
) -> CrossValidated:
    """Measure one candidate on folds that `make_folds` made; calls `fitted` after each fit.

    Raises:
        ConfigError: it cannot be fitted.
    """
    threshold = fold_threshold(settings)
    folds_each_time = settings.selection.folds
    probabilities = np.empty((len(folds) // folds_each_time, len(target)))
    found, seconds = [], []
    for i, (training, validation) in enumerate(folds):
        start = time.perf_counter()
        pipeline = fit(candidate, settings, features[training], target[training])
        seconds.append(time.perf_counter() - start)
        answers = probabilities_of(pipeline, features[validation])
        probabilities[i // folds_each_time, validation] = answers
        found.append(measure(target[validation], answers, (answers >= threshold).astype(np.int64)))
        fitted()
    return CrossValidated(candidate, found, probabilities, seconds)


def summarise(results: Sequence[CrossValidated], settings: Settings) -> list[CandidateSummary]:
    """Compare candidates and choose the champion; the baselines are measured, and cannot be it.

    The champion is the first candidate, in the configured order, that is behind the best by at most one standard error
    (Breiman et al. 1984): of the difference on the same folds, which says most, but never more than of the best itself,
    or a candidate would be chosen for being unsteady. Folds share training rows, so every standard error has the
    correction of Nadeau and Bengio (2003): sd * sqrt(1/k + 1/(folds - 1)).
    """
    metric, folds = settings.selection.metric, settings.selection.folds
    sign = -1.0 if metric in LESS_IS_BETTER else 1.0
    contestants = [result for result in results if result.candidate not in BASELINES]
    best = max(contestants, key=lambda result: sign * result.scores(metric).mean())
    behind = {r.candidate: sign * (best.scores(metric) - r.scores(metric)) for r in results}
    most = standard_error(best.scores(metric), folds)
    errors = {name: min(standard_error(differences, folds), most) for name, differences in behind.items()}
    champion = next(r.candidate for r in contestants if behind[r.candidate].mean() <= errors[r.candidate])
    return [
        CandidateSummary(
            candidate=result.candidate,
            metrics={m: interval(result.scores(m), folds, settings.selection.confidence) for m in COMPARED},
            behind_best=float(behind[result.candidate].mean()),
            standard_error=errors[result.candidate],
            champion=result.candidate == champion,
        )
        for result in results
    ]


def calibration_out_of_fold(target: Labels, result: CrossValidated, settings: Settings) -> Calibration:
    """Measure the calibration of a candidate's out-of-fold probabilities, those of all repeats together."""
    repeats = len(result.probabilities)
    return measure_calibration(
        np.tile(target, repeats),
        result.probabilities.ravel(),
        settings.calibration.bins,
        settings.seed,
        rows=np.tile(np.arange(len(target)), repeats),
    )


def standard_error(scores: npt.NDArray[np.float64], folds: int) -> float:
    """Standard error of the mean of scores of repeated cross-validation, shape (k,), after Nadeau and Bengio (2003)."""
    return float(scores.std(ddof=1) * math.sqrt(1 / len(scores) + 1 / (folds - 1)))


def interval(scores: npt.NDArray[np.float64], folds: int, confidence: float) -> Interval:
    """Mean of scores of repeated cross-validation, shape (k,), with its t interval."""
    mean = float(scores.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(scores) - 1)) * standard_error(scores, folds)
    return Interval(mean=mean, low=mean - half, high=mean + half)
